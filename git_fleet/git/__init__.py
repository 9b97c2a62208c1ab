"""The only code that runs git or imports pygit2."""
