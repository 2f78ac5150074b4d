"""The files below are hostile: nothing here may be imported by a run of the tests."""

collect_ignore_glob = ["*"]
