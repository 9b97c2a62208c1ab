"""`git fleet run`: a plan worked by agents that are started, watched and followed to the end (DESIGN section 12).

Read from the bottom up: `desk` (what all parts share), `patience` (how long to wait), `engagement` (one claim, from its
worktree to its hand-in), `backlog` (proposals verified and integrated beside it), `recovery` (what an earlier run has
left), `conductor` (who does what, and when it is over), `preparing` (before the first agent is paid for), `orders`
(one branch killed or started again from elsewhere).
"""
