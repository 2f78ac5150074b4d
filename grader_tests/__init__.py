"""The hidden suites, their stored references and planted mistakes."""
