"""The second verifier, an ES module, behind a Node process that tests can ask."""
