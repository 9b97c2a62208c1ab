"""A fake model endpoint on loopback, for real agents without a network.

    python mock_model.py --port 8901 --script script.json --text "It is done."

It speaks just enough of four formats (Anthropic Messages, OpenAI Responses, OpenAI Chat Completions, Gemini), streaming.
The script is a list of tool calls, [{"name": …, "args": {…}}, …]: call N is made while the conversation holds N results of
tools, then the text is said. Each answer counts 1,000 tokens in, 300 of them from a cache, and 42 out; Anthropic's
counts those from the cache apart, and 200 more into it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Call = Mapping[str, Any]
Sent = tuple[str, Any]
"""A server-sent event: its name ("" without) and its data."""


class Model(ThreadingHTTPServer):
    """What the endpoint answers: these calls, then this text."""

    def __init__(self, port: int, calls: Sequence[Call], text: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.calls, self.text = calls, text

    def call(self, results: int) -> Call | None:
        return self.calls[results] if results < len(self.calls) else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._document({"data": [], "models": []})

    def do_HEAD(self) -> None:
        self._document({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/v1/messages"):
            self._stream(anthropic(self.server, body))
        elif path.endswith("/count_tokens"):
            self._document({"input_tokens": 1000})
        elif path.endswith("/responses"):
            self._stream(responses(self.server, body))
        elif path.endswith("/chat/completions"):
            self._stream(chat(self.server, body))
        elif path.endswith("streamGenerateContent"):
            self._stream([("", gemini(self.server, body))])
        elif path.endswith("generateContent"):
            self._document(gemini(self.server, body))
        else:
            self._document({})

    def _stream(self, events: Iterator[Sent] | Sequence[Sent]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for name, data in events:
            head = f"event: {name}\n" if name else ""
            text = data if isinstance(data, str) else json.dumps(data)
            self.wfile.write(f"{head}data: {text}\n\n".encode())
        self.close_connection = True

    def _document(self, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def anthropic(model: Model, body: Any) -> Iterator[Sent]:
    parts = [m["content"] for m in body.get("messages", ()) if isinstance(m.get("content"), list)]
    number = sum(part.get("type") == "tool_result" for content in parts for part in content)
    call = model.call(number)
    block: Any = {"type": "text", "text": ""}
    delta: Any = {"type": "text_delta", "text": model.text}
    if call:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": call["name"], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call["args"])}
    usage = {
        "input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 300,
        "output_tokens": 1,
    }
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    for event in (
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 42}},
        {"type": "message_stop"},
    ):
        yield str(event["type"]), event


def responses(model: Model, body: Any) -> Iterator[Sent]:
    given = [item for item in body.get("input", ()) if isinstance(item, dict)]
    number = sum(str(item.get("type", "")).endswith("_output") for item in given)
    call = model.call(number)
    said = [{"type": "output_text", "text": model.text, "annotations": []}]
    item: Any = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": said}
    if call:
        item = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": f"call_{number}",
            "name": call["name"],
            "arguments": json.dumps(call["args"]),
            "status": "completed",
        }
    response = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": body.get("model"),
        "output": [item],
        "usage": {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 300},
            "output_tokens": 42,
            "output_tokens_details": {"reasoning_tokens": 7},
            "total_tokens": 1042,
        },
    }
    begun = {**response, "status": "in_progress", "output": []}
    yield "response.created", {"type": "response.created", "response": begun}
    yield "response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield "response.completed", {"type": "response.completed", "response": response}


def chat(model: Model, body: Any) -> Iterator[Sent]:
    number = sum(message.get("role") == "tool" for message in body.get("messages", ()))
    call = model.call(number) if body.get("tools") else None
    delta: Any = {"role": "assistant", "content": model.text}
    if call:
        function = {"name": call["name"], "arguments": json.dumps(call["args"])}
        calls = [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]
        delta = {"role": "assistant", "tool_calls": calls}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body.get("model")}
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 42,
        "total_tokens": 1042,
        "prompt_tokens_details": {"cached_tokens": 300},
    }
    reason = "tool_calls" if call else "stop"
    yield "", {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield "", {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}
    yield "", "[DONE]"


def gemini(model: Model, body: Any) -> Any:
    parts = [part for content in body.get("contents", ()) for part in content.get("parts", ())]
    call = model.call(sum("functionResponse" in part for part in parts))
    said: Any = (
        {"functionCall": {"name": call["name"], "args": call["args"]}} if call else {"text": model.text}
    )
    usage = {
        "promptTokenCount": 1000,
        "candidatesTokenCount": 42,
        "totalTokenCount": 1042,
        "cachedContentTokenCount": 300,
    }
    content = {"role": "model", "parts": [said]}
    candidates = [{"content": content, "finishReason": "STOP", "index": 0}]
    return {"candidates": candidates, "usageMetadata": usage, "modelVersion": "mock"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--text", default="hello from mock")
    given = parser.parse_args()
    Model(given.port, json.loads(given.script.read_text()), given.text).serve_forever()


if __name__ == "__main__":
    main()
