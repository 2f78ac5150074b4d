"""The grader's side of the border: asks a sandbox, and believes little."""
