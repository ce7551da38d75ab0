"""Every test can fail: none asserts what is a constant, or nothing at all."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]


def parsed() -> dict[str, ast.Module]:
    return {
        path.relative_to(TESTS).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(TESTS.rglob("*.py"))
    }


def functions_of_tests(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def constants_of(module: ast.Module) -> set[str]:
    """Names that a module gives to constants and to what is computed of constants alone."""
    found: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.Assign) and is_constant(node.value, found):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def is_constant(expression: ast.expr, constants: set[str]) -> bool:
    computed = (ast.Call, ast.Attribute, ast.Await, ast.NamedExpr)
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return not any(isinstance(node, computed) for node in ast.walk(expression)) and names <= constants


def is_same_on_both_sides(expression: ast.expr) -> bool:
    """`x == x`; not `f() == f()`, which says that f answers alike."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Compare) and not any(isinstance(part, ast.Call) for part in ast.walk(node)):
            sides = [ast.dump(side) for side in (node.left, *node.comparators)]
            if len(set(sides)) < len(sides):
                return True
    return False


def is_empty(iterated: ast.expr) -> bool:
    literal = isinstance(iterated, ast.List | ast.Tuple | ast.Set) and not iterated.elts
    return literal or (isinstance(iterated, ast.Dict) and not iterated.keys)


def called_names(function: ast.AST) -> set[str]:
    """The last words of what a function calls, or is given: a check may be a fixture, or passed on."""
    found = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return found | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def asserts(function: ast.AST) -> bool:
    checks = {"raises", "warns", "fail", "assert_allclose", "assert_array_equal", "assert_equal", "assert_close"}
    return any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(function)) or bool(
        checks & called_names(function)
    )


def checking_functions(modules: dict[str, ast.Module]) -> set[str]:
    """Names of functions in the tests that assert, or call one that does."""
    functions = [node for module in modules.values() for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    found = {function.name for function in functions if asserts(function)}
    others = {function.name: called_names(function) for function in functions if function.name not in found}
    while more := {name for name, called in others.items() if name not in found and called & found}:
        found |= more
    return found


def faults(modules: dict[str, ast.Module]) -> list[str]:
    checking = checking_functions(modules)
    found = []
    for name, module in modules.items():
        constants = constants_of(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Assert):
                if is_constant(node.test, constants):
                    found.append(f"{name}:{node.lineno}: asserts a constant: {ast.unparse(node)}")
                elif is_same_on_both_sides(node.test):
                    found.append(f"{name}:{node.lineno}: compares a thing with itself: {ast.unparse(node)}")
            if isinstance(node, ast.For | ast.comprehension) and is_empty(node.iter):
                found.append(f"{name}:{node.iter.lineno}: goes through nothing")
        for test in functions_of_tests(module):
            if not asserts(test) and not called_names(test) & (checking - {test.name}):
                found.append(f"{name}:{test.lineno}: {test.name} asserts nothing")
    return found


def test_every_test_can_fail():
    modules = parsed()
    assert len(modules) > 100
    assert "\n".join(faults(modules)) == ""


def test_what_cannot_fail_is_found():
    source = """
LIMIT = 5
def check(value):
    assert value
def passes_on(value):
    check(value)
def test_1():
    assert True
def test_2():
    assert LIMIT + 1 < 2 * 5
def test_3(x):
    assert x == 1 and x[0] == x[0]
def test_4(x):
    for value in []:
        assert value == x
def test_5(x):
    x.run()
def test_6():
    assert ("a", "b")
def test_fine(x, tmp_path):
    passes_on(x)
def test_fine_too(f, x):
    assert f() == f()
    assert x > LIMIT
"""
    lines = [int(fault.split(":")[1]) for fault in faults({"test_it.py": ast.parse(source)})]
    assert sorted(lines) == [8, 10, 12, 14, 16, 19]
