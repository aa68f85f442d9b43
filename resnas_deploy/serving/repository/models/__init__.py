"""Files that go into a repository as they are. They run in the server's Python, where this package is not."""
