"""Results as Markdown, with the command and the machine of each."""

Rows = list[tuple[str, ...]]


def markdown_table(head: tuple[str, ...], rows: Rows) -> str:
    """Rows of texts as a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine_line(record: dict) -> str:
    """Where and with what a result was measured, in one line."""
    machine, versions = record["machine"], record["versions"]
    place = machine.get("gpu") or (
        f"{machine['processor']}, {machine['torch_threads']} threads, "
        f"{machine['vector_instructions']}"
    )
    return f"{place}; torch {versions['torch']}; {record['date']}"


def command_lines(records: list[dict]) -> str:
    """The commands behind a table, each with its machine."""
    return "\n".join(
        f"- `{record['command']}` ({machine_line(record)})" for record in records
    )
