"""The table of benchmarks/grading.py."""

from benchmarks.markdown import Rows, command_lines, markdown_table

MINUTE = 60.0
LEFT = {
    "children": "processes",
    "folders": "temporary folders",
    "shared_memory_files": "files in shared memory",
    "open_files": "open files",
    "memory_mb": "MB of memory",
}


def grading_section(record: dict) -> str:
    """A submission in the sandbox, against plain pytest and nbgrader."""
    ways = (
        ("ours, one job", "ours", record["per_minute_1_job"]),
        ("ours, two jobs", "ours_2_jobs", record["per_minute_2_jobs"]),
        ("plain pytest, a fresh process, no sandbox", "plain_pytest", None),
        ("its start alone, one test", "plain_pytest_start", None),
        ("nbgrader autograde with our grader", "nbgrader_autograde", None),
    )
    rows: Rows = []
    for title, name, rate in ways:
        cpu = record.get(f"{name}_cpu_seconds")
        seconds = record[f"{name}_seconds"]
        rows.append(
            (
                title,
                f"{cpu:.1f}" if cpu else "",
                f"{seconds:.1f}",
                f"{rate or MINUTE / seconds:.1f}",
            )
        )
    head = ("way", "CPU seconds", "seconds on the clock", "submissions per minute")
    many = record["many_in_a_row"]
    before, after = many["before"], many["after"]
    # Below zero, it was somebody else's on the same machine.
    left = [
        f"{max(0, after[name] - before[name])} {words}" for name, words in LEFT.items()
    ]
    note = (
        f"{record['tests']} tests, each in a process of its own, at the level "
        f"{record['level']}; {100 * record['start_share']:.0f} % of it is the start; "
        f"peak memory {record['peak_memory_student_mb']} MB in the sandbox and "
        f"{record['peak_memory_grader_mb']} MB beside it. Plain pytest takes "
        f"**{record['plain_pytest_over_ours_cpu']:.2f}** times our CPU seconds; with a "
        f"sandbox that costs nothing it would be "
        f"{record['most_that_plain_over_ours_can_be']:.2f}: the tests themselves are "
        f"the rest. {many['copies']} copies in a row ({many['tests']} tests each) left "
        f"{', '.join(left)}."
    )
    return f"{markdown_table(head, rows)}\n\n{note}\n\n{command_lines([record])}"
