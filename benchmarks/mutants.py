"""Small changes of the solution, one at a time: do the hidden tests notice each?

mutmut's changes (another number, operator or text, an argument left out, None for a
value), and changes that wrong solutions of this course have: the other name of a pair
such as amin and amax, a call or a statement left out, an order turned around.
"""

import ast
import difflib
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import libcst as cst
from mutmut.mutation.mutators import mutation_operators

from grader.release.markers import find_regions
from grader.suites.mutation import Mutant
from grader.suites.mutation_suites import exercise_before

# A name of a pair is taken for the other one, in both directions.
PAIRS = (
    ("amin", "amax"),
    ("min", "max"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("minimum", "maximum"),
    ("sum", "mean"),
    ("sqrt", "square"),
    ("height", "width"),
    ("x", "y"),
    ("grid_x", "grid_y"),
    ("low", "high"),
    ("boxes1", "boxes2"),
    ("area1", "area2"),
    ("top_left", "bottom_right"),
    ("left_top", "right_bottom"),
    ("left_right", "top_bottom"),
    ("smaller", "larger"),
    ("best", "rest"),
    ("in_channels", "out_channels"),
    ("stem_cls", "stem_box"),
    ("class_features", "box_features"),
    ("pred_box", "pred_ctr"),
    ("class_probability", "centerness"),
)
PARTNER = {**dict(PAIRS), **{second: first for first, second in PAIRS}}
# What stands before the dot is no value that the call could be left out of.
NAMESPACES = {"torch", "nn", "F", "math", "self", "init"}
OPPOSITES: dict[type[cst.BaseCompOp], type[cst.BaseCompOp]] = {
    cst.LessThan: cst.GreaterThan,
    cst.GreaterThan: cst.LessThan,
    cst.LessThanEqual: cst.GreaterThanEqual,
    cst.GreaterThanEqual: cst.LessThanEqual,
    cst.Equal: cst.LessThanEqual,
    cst.NotEqual: cst.GreaterThan,
}
Operator = tuple[type, Callable[..., Iterable[cst.CSTNode]]]


def number_less_one(
    node: cst.Integer | cst.Float,
) -> Iterator[cst.BaseExpression]:
    """`2` becomes `1`; mutmut makes the `3`."""
    yield cst.parse_expression(repr(node.evaluated_value - 1))


def other_name(node: cst.Name) -> Iterator[cst.CSTNode]:
    """`amin` becomes `amax`, `height` becomes `width`."""
    if node.value in PARTNER:
        yield node.with_changes(value=PARTNER[node.value])


def call_left_out(node: cst.Call) -> Iterator[cst.CSTNode]:
    """`ratio.sqrt()` becomes `ratio`."""
    if not isinstance(node.func, cst.Attribute):
        return
    value = node.func.value
    name = value.attr if isinstance(value, cst.Attribute) else value
    if not (isinstance(name, cst.Name) and name.value in NAMESPACES):
        yield value


def opposite_comparison(node: cst.ComparisonTarget) -> Iterator[cst.CSTNode]:
    """`a < b` becomes `a > b`; mutmut makes the `a <= b`."""
    for old, new in OPPOSITES.items():
        if isinstance(node.operator, old):
            yield node.with_changes(operator=new())


def statement_left_out(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """A call for its effect, or `a += b`, becomes `pass`."""
    if isinstance(node.body[0], cst.Expr | cst.AugAssign):
        yield node.with_changes(body=[cst.Pass()])


def no_round(node: cst.For) -> Iterator[cst.CSTNode]:
    """`for a in b` becomes `for a in ()`."""
    yield node.with_changes(iter=cst.Tuple([]))


def condition_turned(node: cst.If) -> Iterator[cst.CSTNode]:
    """`if a` becomes `if not (a)`."""
    inside = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inside))


def order_turned(node: cst.Tuple | cst.List) -> Iterator[cst.CSTNode]:
    """`(a, b)` becomes `(b, a)`; of a list each element is left out once, too."""
    count = len(node.elements)
    if count < 2:
        return
    values = [each.value for each in node.elements]
    turned = [
        each.with_changes(value=value)
        for each, value in zip(node.elements, reversed(values), strict=True)
    ]
    yield node.with_changes(elements=turned)
    if isinstance(node, cst.List):
        for place in range(count):
            rest = [*node.elements[:place], *node.elements[place + 1 :]]
            yield node.with_changes(elements=rest)


OPERATORS: tuple[Operator, ...] = (
    *mutation_operators,
    ((cst.Integer, cst.Float), number_less_one),  # type: ignore[arg-type]
    (cst.Name, other_name),
    (cst.Call, call_left_out),
    (cst.ComparisonTarget, opposite_comparison),
    (cst.SimpleStatementLine, statement_left_out),
    (cst.For, no_round),
    (cst.If, condition_turned),
    ((cst.Tuple, cst.List), order_turned),  # type: ignore[arg-type]
)


class _Collector(cst.CSTVisitor):
    """All changes of the nodes of a tree: old node, new node."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Collect; types mean nothing here, and what an error says is free."""
        if isinstance(node, cst.Annotation | cst.Raise):
            return False
        for kind, change in OPERATORS:
            if isinstance(node, kind):
                self.found += [(node, new) for new in change(node)]
        return True


def changed_texts(text: str) -> Iterator[str]:
    """All changes of some statements, each meaning and text once."""
    tree = cst.parse_module(text)
    collector = _Collector()
    tree.visit(collector)
    seen = {ast.dump(ast.parse(text))}
    for old, new in collector.found:
        changed = tree.deep_replace(old, new)
        assert isinstance(changed, cst.Module)
        try:
            meaning = ast.dump(ast.parse(changed.code))
        except SyntaxError:
            continue
        if meaning not in seen:
            seen.add(meaning)
            yield changed.code


def make_mutants(name: str, source: str) -> list[Mutant]:
    """All changes of a file's solution regions, in the order of its lines.

    Args:
        name: of the file, "common.py".
        source: its text.
    """
    lines = source.splitlines()
    mutants = []
    for region in find_regions(lines, name):
        # The lines between the markers, as statements of their own.
        first, last = region.begin, region.end - 1
        solution = "\n".join(lines[first:last])
        indent = " " * (len(solution) - len(solution.lstrip()))
        exercise = exercise_before(source, first)
        old = textwrap.dedent(solution).splitlines()
        for changed in changed_texts("\n".join(old)):
            number, before, after = _difference(old, changed.splitlines())
            body = textwrap.indent(changed, indent).splitlines()
            text = "\n".join([*lines[:first], *body, *lines[last:], ""])
            if not _compiles(text):
                continue
            mutants.append(
                Mutant(
                    file=name,
                    exercise=exercise,
                    line=first + number,
                    before=before,
                    after=after,
                    source=text,
                )
            )
    return sorted(mutants, key=lambda each: each.line)


def _compiles(text: str) -> bool:
    """False where an argument is named twice, for example."""
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def read_mutants(folder: Path) -> list[Mutant]:
    """The mutants of all files of a folder such as assignment/."""
    return [
        mutant
        for path in sorted(folder.glob("*.py"))
        for mutant in make_mutants(path.name, path.read_text("utf-8"))
    ]


def _difference(old: list[str], new: list[str]) -> tuple[int, str, str]:
    """Number of the first line that differs, what stood there, what stands there."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    pieces = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    before = [text.strip() for _, a, b, _, _ in pieces for text in old[a:b]]
    after = [text.strip() for _, _, _, a, b in pieces for text in new[a:b]]
    return pieces[0][1] + 1, " ".join(before), " ".join(after)
