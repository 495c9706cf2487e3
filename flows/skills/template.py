"""A skill's body as a Jinja2 template: strict, sandboxed, alone."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

from jinja2 import (
    Environment,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    UndefinedError,
    meta,
    nodes,
)
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from wildloop.flows.errors import InvalidRequest

RENDERED_LIMIT = 2_000_000
LOOP_LIMIT = 100_000
POWER_LIMIT = 10_000
KEPT = 64


class Unfolded(CodeGenerator):
    """Compiles without carrying anything out: what a template computes belongs to its rendering."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class Names(Unfolded, meta.TrackingCodeGenerator):
    """Finds the variables of a template, as `meta.find_undeclared_variables` does."""

    def __init__(self, environment: Environment) -> None:
        meta.TrackingCodeGenerator.__init__(self, environment)
        self.optimizer = None


class SkillEnvironment(SandboxedEnvironment):
    """Strict and sandboxed, and bounded where a slip of the pen would take all memory or time.

    One is made for each rendering: what its loops run through by `range` is counted together.
    """

    code_generator_class = Unfolded
    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, optimized=False
        )
        self.steps = 0
        self.globals["range"] = self.counted_range

    def counted_range(self, *bounds: int) -> range:
        """A range; OverflowError once all of them together pass 100,000."""
        found = range(*bounds)
        self.steps += len(found)
        if self.steps > LOOP_LIMIT:
            raise OverflowError(f"loops over more than {LOOP_LIMIT} numbers")
        return found

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """A product or a power; OverflowError if it would be huge."""
        if operator == "**":
            bits = left.bit_length() if isinstance(left, int) else 1
            if isinstance(right, int) and bits * abs(right) > POWER_LIMIT:
                raise OverflowError(f"a power of more than {POWER_LIMIT} binary digits")
        elif _product_length(left, right) > RENDERED_LIMIT:
            raise OverflowError(f"a text or list longer than {RENDERED_LIMIT}")
        return super().call_binop(context, operator, left, right)


def environment() -> SkillEnvironment:
    """The one way in which skills are compiled."""
    return SkillEnvironment()


def _product_length(left: Any, right: Any) -> int:
    for value, times in ((left, right), (right, left)):
        if isinstance(value, str | list | tuple) and isinstance(times, int):
            return len(value) * times
    return 0


def used_variables(id: str, template: str, first_line: int = 1) -> list[str]:
    """The variables that a template takes from outside, by name.

    Args:
        id: of the skill, for messages.
        template: the body.
        first_line: number of the body's first line in what the user has written.

    Raises:
        InvalidRequest: it does not compile, or needs another template.
    """
    return list(_used_variables(id, template, first_line))


@lru_cache(maxsize=KEPT)
def _used_variables(id: str, template: str, first_line: int) -> tuple[str, ...]:
    jinja = environment()
    try:
        tree = jinja.parse(template)
        jinja.compile(template)
    except TemplateSyntaxError as error:
        line = error.lineno + first_line - 1
        raise InvalidRequest(
            f"skill '{id}': template, line {line}: {error.message}: mend it, or write "
            "{% raw %}...{% endraw %} around braces that are meant as text"
        ) from error
    except (RecursionError, SyntaxError, MemoryError, ValueError) as error:
        # What Jinja2 lets through, Python's own compiler may refuse: nesting, huge numbers.
        raise InvalidRequest(
            f"skill '{id}': the template cannot be compiled ({type(error).__name__}): make it "
            "simpler"
        ) from error
    others = [name or "another" for name in meta.find_referenced_templates(tree)]
    if others:
        raise InvalidRequest(
            f"skill '{id}': the template includes {', '.join(others)}: a skill stands alone, put "
            "the text into it"
        )
    names = Names(jinja)
    names.visit(tree)
    return tuple(sorted(names.undeclared_identifiers - set(jinja.globals)))


@lru_cache(maxsize=KEPT)
def _compiled(template: str) -> CodeType:
    return environment().compile(template)


def render(id: str, template: str, variables: Mapping[str, Any]) -> str:
    """A template with its variables filled in. Values are text: no template in them is evaluated.

    Raises:
        InvalidRequest: a variable is missing, or the template fails.
    """
    used = used_variables(id, template)
    parts: list[str] = []
    length = 0
    try:
        jinja = environment()
        filled = Template.from_code(jinja, _compiled(template), jinja.globals)
        for part in filled.generate(dict(variables)):
            parts.append(part)
            length += len(part)
            if length > RENDERED_LIMIT:
                raise InvalidRequest(
                    f"skill '{id}' renders to more than {RENDERED_LIMIT} characters: shorten it "
                    "or its variables"
                )
    except UndefinedError as error:
        raise InvalidRequest(_undefined(id, error, set(used) - set(variables))) from error
    except InvalidRequest:
        raise
    except TemplateError as error:
        raise InvalidRequest(f"skill '{id}': {error}: mend its SKILL.md") from error
    except Exception as error:
        # The template is the user's own program: whatever it raises is a fault in it.
        raise InvalidRequest(
            f"skill '{id}': {type(error).__name__}: {error}: mend its SKILL.md, or the variables"
        ) from error
    return "".join(parts)


def _undefined(id: str, error: UndefinedError, missing: Iterable[str]) -> str:
    names = ", ".join(sorted(missing))
    also = f" (not given: {names})" if names else ""
    return f"skill '{id}': {error.message}: give this variable{also}"
