"""Objects, through two engines with one interface.

Plumbing (`cat-file`, `diff-tree`, and files written as `hash-object` writes them) works on every kind of
repository and needs no slow import. libgit2 is for bulk work inside long-lived processes; it cannot open SHA-256 and reftable
repositories nor partial clones, and then the plumbing does its work. What either gives is the same.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from git_fleet.core.ids import Oid
from git_fleet.errors import GitFailed, InvalidInput
from git_fleet.git.formats import (
    EXECUTABLE,
    FILE,
    FOLDER,
    LINK,
    SUBMODULE,
    Change,
    Commit,
    Kind,
    Object,
    Signature,
    TreeEntry,
    checked_name,
    format_commit,
    format_tree,
    in_order,
    object_id,
    parse_change,
    parse_commit,
    parse_tree,
    status_of,
)
from git_fleet.git.loose import is_shared, store
from git_fleet.git.process import Child, Git
from git_fleet.git.refnames import is_ref_name
from git_fleet.git.repository import PackedRefs, Repository
from git_fleet.git.signatures import Signer

if TYPE_CHECKING:
    import pygit2

__all__ = [
    "Objects",
    "open_objects",
    "Object",
    "TreeEntry",
    "Change",
    "Commit",
    "Signature",
    "Kind",
    "FILE",
    "EXECUTABLE",
    "LINK",
    "FOLDER",
    "SUBMODULE",
    "parse_commit",
]

# A submodule's change is one, whatever `ignore` the .gitmodules of some work tree asks for.
RAW_DIFF = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none")

_HEX = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_WRITES = 5  # attempts at storing an object
_AT_ONCE = 200  # names asked for in one go; their objects are held in memory together


class Objects:
    """The plumbing engine, and the interface of both. Not for sharing between threads.

    Reading goes through one `cat-file` child, started when first needed and kept until `close`.
    """

    def __init__(self, repo: Repository, *, durable: bool = False, git: Git | None = None) -> None:
        self.repo = repo
        self._git = git or repo.git(durable=durable)
        self._durable = durable
        # Where we write ourselves: not for a git with a place of its own, nor in a shared repository.
        self._folder = None if git or is_shared(repo.common_dir) else repo.common_dir / "objects"
        self._packed = PackedRefs(repo)
        self._child: Child | None = None
        self.signer = Signer(repo)
        self.named: Callable[[str], str] = str
        """Under which name an object is found that is asked for by the name of a ref."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; reading again starts another."""
        self._end_child()
        self._packed.close()

    def save(self) -> int:
        """Let every other process see what was written; to be called before a ref names it.

        How many objects that brought out: none here, where writing does it at once (see git/drafts.py).
        """
        return 0

    def read(self, name: str) -> tuple[Kind, bytes]:
        """Kind and content of what `name` (an id, a full ref name, `<id>:path`) names now.

        Raises GitFailed when there is no such object.
        """
        found = self._find(name)
        if found is None:
            raise GitFailed(f"the object {name} is missing", hint="git fsck")
        return found.kind, found.data

    def read_many(self, names: Iterable[str]) -> Iterator[Object | None]:
        """The objects so named, in the same order; None for a missing one. Names as in `read`."""
        rest = iter(names)
        while few := list(islice(rest, _AT_ONCE)):
            yield from self._fetch(few)

    def read_ref(self, ref: str) -> tuple[Oid, bytes] | None:
        """Id and content of what a ref points at right now, without starting a process; None without it.

        git would also find a branch or tag of the odd name `refs/heads/<ref>`; a write by exact old
        value does not, so at worst it is refused. Raises InvalidInput for what is not a full ref name.
        """
        if not is_ref_name(ref):
            raise InvalidInput(f"not a valid ref name: {ref!r}")
        found = next(iter(self._fetch([ref])))
        return None if found is None else (found.oid, found.data)

    def exists(self, oid: Oid) -> bool:
        """Whether the object is in the repository."""
        return self._git.run("cat-file", "-e", oid, ok=(0, 1, 128)).code == 0

    def write(self, kind: Kind, data: bytes) -> Oid:
        """Store an object (a known one costs nothing) and return its id. Raises GitFailed.

        `git gc` removes the folders of loose objects that it has emptied, and git gives up when one goes
        between its making it and its writing there. So a failure is believed when it comes again and again.
        """
        for _ in range(_WRITES - 1):
            with contextlib.suppress(GitFailed):
                return self._write(kind, data)
        return self._write(kind, data)

    def _write(self, kind: Kind, data: bytes) -> Oid:
        if self._folder is not None:
            each = Object(object_id(kind, data, self.repo.object_format), kind, data)
            with contextlib.suppress(OSError):  # git tries, too, and says what is wrong
                store(self._folder, each, durable=self._durable)
                return each.oid
        return Oid(self._git.text("hash-object", "-t", kind, "-w", "--stdin", input=data))

    def read_tree(self, tree: Oid) -> tuple[TreeEntry, ...]:
        """The entries of a tree (of a commit: its tree) in git's order. Raises GitFailed when there is none."""
        if tree == self.repo.empty_tree:
            return ()
        kind, data = self.read(tree)
        if kind == "commit":
            return self.read_tree(parse_commit(tree, data).tree)
        if kind != "tree":
            raise GitFailed(f"{tree} is a {kind}, not a tree", hint="git fsck")
        return tuple(parse_tree(data, len(tree) // 2))

    def write_tree(self, entries: Iterable[TreeEntry]) -> Oid:
        """Store a tree of these entries, in any order. Raises InvalidInput for a name no tree may hold."""
        return self.write("tree", format_tree(entries))

    def write_empty_tree(self) -> Oid:
        """Store the tree without entries. git knows it without having it, but `git fsck` misses it when a
        commit names it. Looking for its file first saves a process each time."""
        empty = self.repo.empty_tree
        if (self.repo.common_dir / "objects" / empty[:2] / empty[2:]).exists():
            return empty
        return self.write_tree(())

    def write_files(self, files: Mapping[str, bytes]) -> Oid:
        """Store a tree of plain files, path → content, with the folders their paths name.

        Raises InvalidInput for a path that leaves the tree, is empty or names `.git`, and for a file
        that is also a folder.
        """
        here: list[TreeEntry] = []
        folders: dict[str, dict[str, bytes]] = {}
        for path, data in files.items():
            name, slash, below = path.partition("/")
            if slash:
                folders.setdefault(name, {})[below] = data
            else:
                here.append(TreeEntry(FILE, checked_name(name), self.write("blob", data)))
        here += (
            TreeEntry(FOLDER, checked_name(name), self.write_files(few)) for name, few in folders.items()
        )
        return self.write_tree(here)

    def read_commit(self, name: str) -> Commit:
        """The commit that `name` (see `read`) names. Raises GitFailed when it is not one."""
        found = self._find(name)
        if found is None or found.kind != "commit":
            raise GitFailed(f"{name} is not a commit in this repository", hint="git fsck")
        return parse_commit(found.oid, found.data)

    def write_commit(
        self,
        *,
        tree: Oid,
        parents: Sequence[Oid],
        author: Signature,
        committer: Signature,
        message: str | bytes,
        signed: bool = False,
    ) -> Oid:
        """Store a commit and return its id. The message is stored as it is; `signed`: as `signer` has it.
        Raises GitFailed."""
        data = format_commit(tree, parents, author, committer, message)
        return self.write("commit", self.signer(data) if signed else data)

    def changed_paths(self, old_tree: Oid, new_tree: Oid) -> list[Change]:
        """Every path that differs between two trees (commits will do), sorted by bytes; no renames."""
        fields = self._git.paths(*RAW_DIFF, old_tree, new_tree)
        changes = (parse_change(meta, path) for meta, path in zip(fields[::2], fields[1::2], strict=True))
        return in_order(changes)

    def merge_bases(self, one: Oid, other: Oid) -> list[Oid]:
        """All best common ancestors, best first as git sees it; empty for unrelated histories."""
        found = self._git.text("merge-base", "--all", one, other, ok=(0, 1))
        return [Oid(line) for line in found.split()]

    def is_ancestor(self, old: Oid, new: Oid) -> bool:
        """Whether `new` contains `old` (a commit contains itself). Raises GitFailed for a missing commit."""
        return self._git.run("merge-base", "--is-ancestor", old, new, ok=(0, 1)).code == 0

    def _compare(self, prefix: str, old_tree: Oid, new_tree: Oid) -> Iterator[Change]:
        """The changes below two folders; only what differs is read."""
        if old_tree == new_tree:
            return
        empty, zero = self.repo.empty_tree, Oid(self.repo.zero)
        # A file and a folder of one name are two entries: one goes, the other comes.
        old, new = (
            {(entry.name, entry.mode == FOLDER): entry for entry in self.read_tree(tree)}
            for tree in (old_tree, new_tree)
        )
        for key in old.keys() | new.keys():
            name, is_folder = key
            before = old.get(key, TreeEntry(0, name, empty if is_folder else zero))
            after = new.get(key, TreeEntry(0, name, empty if is_folder else zero))
            if is_folder:
                yield from self._compare(f"{prefix}{name}/", before.oid, after.oid)
            elif before != after:
                status = status_of(before.mode, after.mode)
                yield Change(status, prefix + name, before.mode, after.mode, before.oid, after.oid)

    def _find(self, name: str) -> Object | None:
        return next(iter(self._fetch([name])))

    def _fetch(self, names: Sequence[str]) -> list[Object | None]:
        """The objects of these names. A ref is looked at again when packed-refs was replaced meanwhile (see
        PackedRefs): nothing older than this call may be taken for what the ref is now."""
        for name in names:
            if "\n" in name or not name:
                raise InvalidInput(f"not an object name: {name!r}")
        names = [self.named(name) for name in names]
        by_id = all(map(_HEX.fullmatch, names))
        while True:
            if self._packed.replaced():
                self._end_child()
            answers = self._ask(names)
            if by_id or not self._packed.replaced():
                return answers
            self._end_child()

    def _ask(self, names: Sequence[str]) -> list[Object | None]:
        """Ask the child for all names at once, and take all answers before anybody asks again."""
        if self._child is None:
            # With --buffer it reads all questions up to the `flush` before it answers: no pipe can fill up
            # on both sides. Each question looks at the refs anew.
            self._child = Child(self._git, "cat-file", "--batch-command", "--buffer")
        questions = "".join(f"contents {name}\n" for name in names) + "flush\n"
        try:
            answered = self._child.send(os.fsencode(questions))
            answers = [self._answer() for _ in names] if answered else self._give_up()
            # An object that is there but corrupt is reported as missing, too, after a complaint.
            if None in answers and (complaint := self._child.complaint()):
                raise complaint
            return answers
        except BaseException:
            self._end_child()  # what is left in the pipe would be taken for answers to other questions
            raise

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _answer(self) -> Object | None:
        child = cast(Child, self._child)
        head = child.line()
        if head.endswith((b" missing", b" ambiguous")):
            return None
        words = head.decode("ascii", "replace").split(" ")
        if len(words) != 3:
            self._give_up()
        size = int(words[2])
        data = child.exactly(size + 1)
        if len(data) != size + 1:
            self._give_up()
        return Object(Oid(words[0]), cast(Kind, words[1]), data[:-1])

    def _give_up(self) -> list[Object | None]:
        """The child has ended, for instance over a corrupt object. Always raises GitFailed."""
        child, self._child = cast(Child, self._child), None
        child.end()
        raise child.error()


class _Bulk(Objects):
    """Objects through libgit2. What it cannot find or do goes the plumbing's way, which also says why."""

    def __init__(self, repo: Repository, library: pygit2.Repository, *, durable: bool) -> None:
        import pygit2

        super().__init__(repo, durable=durable)
        self._library = library
        self._errors = (pygit2.GitError, OSError, ValueError)  # by what libgit2 thinks went wrong
        kinds = pygit2.enums.ObjectType
        self._numbers: dict[Kind, int] = {
            "blob": kinds.BLOB,
            "tree": kinds.TREE,
            "commit": kinds.COMMIT,
            "tag": kinds.TAG,
        }
        self._kinds = {number: kind for kind, number in self._numbers.items()}
        # Of this whole process. A reading of the fleet would leave every event in memory a second time.
        pygit2.settings.cache_object_limit(kinds.COMMIT, 0)
        if durable:
            pygit2.settings.enable_fsync_gitdir(True)  # of this whole process; harmless for the rest

    def exists(self, oid: Oid) -> bool:
        return oid in self._library or super().exists(oid)

    def write(self, kind: Kind, data: bytes) -> Oid:
        if self._folder is None:  # libgit2 knows nothing of shared repositories
            return super().write(kind, data)
        try:
            return Oid(str(self._library.write(self._numbers[kind], data)))
        except self._errors:
            return super().write(kind, data)

    def changed_paths(self, old_tree: Oid, new_tree: Oid) -> list[Change]:
        # Not libgit2's diff: that one folds case where core.ignoreCase is set, and git's does not.
        return in_order(self._compare("", old_tree, new_tree))

    def is_ancestor(self, old: Oid, new: Oid) -> bool:
        try:
            return old == new or self._library.descendant_of(new, old)
        except self._errors:
            return super().is_ancestor(old, new)

    def _fetch(self, names: Sequence[str]) -> list[Object | None]:
        found = {name: self._by_id(name) for name in names}
        rest = [name for name, known in found.items() if known is None]
        found.update(zip(rest, super()._fetch(rest), strict=True) if rest else ())
        return [found[name] for name in names]

    def _by_id(self, name: str) -> Object | None:
        if not _HEX.fullmatch(name):
            return None
        try:
            number, data = self._library.read(name)
        except self._errors:
            return None
        return Object(Oid(name), self._kinds[number], data)


def open_objects(repo: Repository, *, bulk: bool = False, durable: bool = False) -> Objects:
    """The objects of a repository; close them after use.

    `bulk` asks for libgit2 (50 ms to import): for long-lived processes, and for hundreds of objects.
    `durable` flushes what is written to the disk.
    """
    if bulk:
        import pygit2

        # The shared git dir, never a worktree: in linked worktrees libgit2 misplaces what is shared.
        with contextlib.suppress(pygit2.GitError):
            return _Bulk(repo, pygit2.Repository(os.fspath(repo.common_dir)), durable=durable)
    return Objects(repo, durable=durable)
