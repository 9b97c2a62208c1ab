// OpenCode tells git-fleet before and after each tool; an edit outside the task's files is refused before it happens.
import { spawnSync } from "node:child_process"

const guard = 'f=$(git rev-parse --path-format=absolute --git-common-dir 2>/dev/null)/fleet/hooks/agent; [ ! -x "$f" ] || exec "$f" "$1"'
const tell = (cwd, event, about) => {
  const input = JSON.stringify({ cwd, ...about })
  const done = spawnSync("sh", ["-c", guard, "sh", event], { cwd, input, encoding: "utf8" })
  if (done.status === 2) throw new Error(done.stderr)
}

export const GitFleet = async ({ directory }) => ({
  "tool.execute.before": async ({ tool, sessionID }, { args }) =>
    tell(directory, "pre-tool-use", { session_id: sessionID, tool_name: tool, tool_input: args }),
  "tool.execute.after": async ({ tool, sessionID }) =>
    tell(directory, "post-tool-use", { session_id: sessionID, tool_name: tool }),
})
