"""σ and Γ, read out of mypy while it checks the hole (a plugin's function hook on ``__hole__``)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from mypy.checker import TypeChecker
from mypy.erasetype import erase_typevars
from mypy.expandtype import expand_type_by_instance
from mypy.maptype import map_instance_to_supertype
from mypy.messages import format_type
from mypy.nodes import (
    LDEF,
    Decorator,
    FuncDef,
    FuncItem,
    IntExpr,
    MypyFile,
    NameExpr,
    OverloadedFuncDef,
    SymbolNode,
    SymbolTableNode,
    TypeAlias,
    TypeInfo,
    TypeVarExpr,
    Var,
)
from mypy.options import Options
from mypy.plugin import FunctionContext, Plugin
from mypy.subtypes import is_subtype
from mypy.traverser import NameAndMemberCollector
from mypy.typeops import bind_self, get_all_type_vars, make_simplified_union, type_object_type
from mypy.types import (
    AnyType,
    CallableType,
    DeletedType,
    ErasedType,
    FunctionLike,
    Instance,
    LiteralType,
    Overloaded,
    PartialType,
    ProperType,
    TupleType,
    Type,
    TypeOfAny,
    TypeVarLikeType,
    TypeVarType,
    UnboundType,
    UninhabitedType,
    get_proper_type,
)

from astral_lsp.workers.protocol import HoleTypes, Name
from astral_lsp.workers.types.places import Rule
from astral_lsp.workers.types.text import HOLE

Reach = Literal["local", "argument", "self", "global", "import", "builtin"]

log = logging.getLogger(__name__)

_ANY = AnyType(TypeOfAny.special_form)
_SPECIAL = ("typing.Any", "typing.Generic", "typing.Protocol", "typing.NamedTuple", "typing.TypedDict")
_MOST_NAMES = 400
_MOST_ATTRIBUTES = 60


@dataclass
class Wanted:
    """What is asked about one hole before the check."""

    rule: Rule = ""
    table: str | None = None
    note: str = ""
    bound: frozenset[str] = frozenset()
    is_expression: bool = True
    narrowest: bool = False
    in_function: bool = True
    position: int | str | None = None
    arguments: int = 0


@dataclass
class Seen:
    """What was seen of one hole during the check."""

    contexts: list[Type] = field(default_factory=list)
    types: HoleTypes | None = None


class Observer:
    """Collects what the plugin sees; `expect` before a check, `answer` after."""

    def __init__(self) -> None:
        self._path = ""
        self._wanted: dict[int, Wanted] = {}
        self._seen: dict[int, Seen] = {}

    def expect(self, path: str, wanted: dict[int, Wanted]) -> None:
        """Watch for these holes of ``path`` in the next check (other open files have holes of their own)."""
        self._path, self._wanted, self._seen = path, wanted, {}

    def answer(self) -> dict[int, HoleTypes]:
        """Return what was seen, by hole number, and stop watching."""
        seen, self._wanted, self._seen = self._seen, {}, {}
        return {number: s.types for number, s in seen.items() if s.types is not None}

    def plugin(self, options: Options) -> Plugin:
        """Return the mypy plugin that reports here."""
        return _HolePlugin(options, self)

    def see(self, context: FunctionContext) -> None:
        """Record one visit of mypy to a hole."""
        number = context.args[0][0] if context.args and context.args[0] else None
        if not isinstance(number, IntExpr) or number.value not in self._wanted:
            return
        checker = context.api
        assert isinstance(checker, TypeChecker)
        if checker.path != self._path:
            return
        wanted = self._wanted[number.value]
        seen = self._seen.setdefault(number.value, Seen())
        given = checker.type_context[-1]
        if given is not None and given not in seen.contexts:
            seen.contexts.append(given)
        siblings = context.arg_types[1] if len(context.arg_types) > 1 else []
        expected, text, note = _sigma(checker, wanted, seen.contexts, siblings, context)
        names = _Gamma(checker, wanted, expected).names()
        seen.types = HoleTypes(text, names, note)


class _HolePlugin(Plugin):
    def __init__(self, options: Options, observer: Observer) -> None:
        super().__init__(options)
        self._observer = observer

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return self._visit if fullname == f"builtins.{HOLE}" else None

    def _visit(self, context: FunctionContext) -> Type:
        try:
            self._observer.see(context)
        except Exception:  # an exception here would stop mypy altogether
            log.exception("could not read σ and Γ")
        return context.default_return_type


# --- σ --------------------------------------------------------------------------------------------------


def _sigma(
    checker: TypeChecker,
    wanted: Wanted,
    contexts: list[Type],
    siblings: list[Type],
    context: FunctionContext,
) -> tuple[Type | None, str | None, str]:
    """σ as a type (where there is one), as text, and where it comes from."""
    if not wanted.is_expression:
        return None, None, _returns(checker) or wanted.note
    formals = _overload_formals(wanted, siblings)
    known = [c for c in _settled([*contexts, *formals], checker) if not _says_nothing(c)]
    if wanted.rule and all(_is_object(get_proper_type(c)) for c in known):
        known = []
    if known:
        merged = _narrowest(known) if wanted.narrowest else make_simplified_union(known)
        return merged, written(merged, checker.options), ""
    if wanted.rule and siblings:
        found = _from_sibling(checker, wanted.rule, siblings[0], context)
        if found is not None:
            return found[0], found[1], wanted.note
    if wanted.table is not None:
        return _by_name(checker, wanted.table), wanted.table, wanted.note
    if contexts and isinstance(get_proper_type(contexts[-1]), AnyType):
        return None, "Any", wanted.note
    return None, None, wanted.note or "mypy has no context here"


def _returns(checker: TypeChecker) -> str:
    function = checker.scope.current_function()
    given = function.type if isinstance(function, FuncDef) else None
    if not isinstance(given, CallableType):
        return ""
    return f"statements; the function returns {written(given.ret_type, checker.options)}"


def _settled(contexts: list[Type], checker: TypeChecker) -> list[Type]:
    """The contexts without type variables that are the callee's, not ours."""
    ours = {
        variable.id
        for item in checker.scope.stack
        for variable in (
            item.type.variables if isinstance(item, FuncDef) and isinstance(item.type, CallableType) else ()
        )
    }
    ours |= {
        variable.id
        for item in checker.scope.stack
        if isinstance(item, TypeInfo)
        for variable in item.defn.type_vars
    }
    settled = []
    for given in contexts:
        proper = get_proper_type(given)
        if isinstance(proper, TypeVarType) and proper.id not in ours:
            given = proper.upper_bound if not _is_object(get_proper_type(proper.upper_bound)) else _ANY
        free = {variable.id for variable in get_all_type_vars(given)} - ours
        settled.append(erase_typevars(given, free) if free else given)
    return settled


def _overload_formals(wanted: Wanted, siblings: list[Type]) -> list[Type]:
    """What each overload of the callee takes at the hole; mypy stops at the first that takes an Any."""
    callee = get_proper_type(siblings[0]) if siblings and wanted.position is not None else None
    if not isinstance(callee, Overloaded):
        return []
    found = []
    for item in callee.items:
        if item.min_args > wanted.arguments:
            continue
        if isinstance(wanted.position, str):
            formal = item.argument_by_name(wanted.position)
        else:
            formal = item.argument_by_position(wanted.position)
        if formal is not None:
            found.append(formal.typ)
    return found


def _narrowest(known: list[Type]) -> Type:
    best = known[0]
    for other in known[1:]:
        if is_subtype(other, best) and not is_subtype(best, other):
            best = other
    return best


def _says_nothing(given: Type) -> bool:
    proper = get_proper_type(given)
    return isinstance(proper, (AnyType, ErasedType, UninhabitedType, DeletedType, PartialType))


def _from_sibling(
    checker: TypeChecker, rule: Rule, sibling: Type, context: FunctionContext
) -> tuple[Type | None, str] | None:
    base = _widened(sibling)
    if _says_nothing(base):
        return None
    if rule == "item of":
        _, item = checker.analyze_iterable_item_type_without_expression(base, context.context)
        return (item, written(item, checker.options)) if not _says_nothing(item) else None
    if rule == "container of":
        return None, f"Container[{written(base, checker.options)}]"
    return base, written(base, checker.options)


def _widened(given: Type) -> ProperType:
    proper = get_proper_type(given)
    if isinstance(proper, Instance) and proper.last_known_value is not None:
        return proper.copy_modified(last_known_value=None)
    return proper.fallback if isinstance(proper, LiteralType) else proper


def _by_name(checker: TypeChecker, text: str) -> Type | None:
    """The type behind a text of the table, where it is one builtin class."""
    try:
        return checker.named_type(f"builtins.{text}") if text in ("bool",) else None
    except (KeyError, AssertionError):
        return None


def written(given: Type, options: Options) -> str:
    """Return ``given`` in Python syntax."""
    return format_type(given, options).strip('"')


# --- Γ --------------------------------------------------------------------------------------------------


class _Gamma:
    """The names in scope at the place being checked, nearest first."""

    def __init__(self, checker: TypeChecker, wanted: Wanted, expected: Type | None) -> None:
        self.checker, self.bound, self.in_function = checker, wanted.bound, wanted.in_function
        proper = get_proper_type(expected) if expected is not None else None
        vague = proper is None or _says_nothing(proper) or _is_object(proper)
        self.expected: Type | None = None if vague else expected
        self.found: dict[str, Name] = {}
        self.types: dict[str, Type] = {}

    def names(self) -> list[Name]:
        functions = [item for item in self.checker.scope.stack if isinstance(item, FuncItem)]
        receiver: tuple[str, Type] | None = None
        for function in reversed(functions):
            inner = self._arguments(function)
            receiver = receiver or inner
            self._locals(function)
        if receiver is not None:
            self._attributes(receiver[0], receiver[1], "self", every=True)
        for name in [n for n in self.found.values() if n.reach in ("local", "argument")]:
            self._fitting_attributes(name)
        self._globals()
        return list(self.found.values())[:_MOST_NAMES]

    def _put(self, name: str, given: Type | None, reach: Reach) -> None:
        if name in self.found or given is None:
            return
        proper = get_proper_type(given)
        if isinstance(proper, (DeletedType, PartialType, UnboundType)):
            return
        self.types[name] = given
        self.found[name] = Name(name, written(given, self.checker.options), reach, self._fits(given))

    def _fits(self, given: Type) -> bool:
        if self.expected is None or _says_nothing(given):
            return False
        return is_subtype(given, self.expected, options=self.checker.options)

    def _locals(self, function: FuncItem) -> None:
        collector = NameAndMemberCollector()
        function.body.accept(collector)
        for found in collector.name_exprs:
            node = found.node
            if found.kind != LDEF or found.name not in self.bound or found.name == "_":
                continue
            if isinstance(node, Var):
                narrowed = self.checker.binder.get(found)
                self._put(found.name, narrowed or node.type, "local")
            elif isinstance(node, (FuncDef, OverloadedFuncDef, Decorator)):
                self._put(found.name, _type_of(node, self.checker), "local")
        for definition in _nested(function):
            if definition.name in self.bound:
                self._put(definition.name, _type_of(definition, self.checker), "local")

    def _arguments(self, function: FuncItem) -> tuple[str, Type] | None:
        """Put the arguments; returns the receiver's name and type when ``function`` is a method."""
        receiver = None
        for index, argument in enumerate(function.arguments):
            variable = argument.variable
            reference = NameExpr(variable.name)
            reference.node, reference.kind = variable, LDEF
            given = self.checker.binder.get(reference) or variable.type
            self._put(variable.name, given, "argument")
            is_method = isinstance(function, FuncDef) and function.info and not function.is_static
            if index == 0 and is_method and given is not None:
                receiver = (variable.name, given)
        return receiver

    def _attributes(self, owner: str, given: Type, reach: Reach, every: bool) -> None:
        for name, member in _members(given, self.checker):
            if not every and not self._fits(member):
                continue
            self._put(f"{owner}.{name}", member, reach)

    def _fitting_attributes(self, name: Name) -> None:
        given = self.types.get(name.name)
        if self.expected is None or given is None or name.fits:
            return
        proper = get_proper_type(given)
        if isinstance(proper, Instance):
            self._attributes(name.name, given, name.reach, every=False)

    def _globals(self) -> None:
        module = self.checker.tree.fullname
        for name, symbol in self.checker.globals.items():
            if name.startswith("__") or name == "TYPE_CHECKING" or symbol.node is None:
                continue
            if not self.in_function and name not in self.bound:
                continue
            self._global(name, symbol, module)

    def _global(self, name: str, symbol: SymbolTableNode, module: str) -> None:
        node = symbol.node
        if node is None or name in self.found:
            return
        own = node.fullname.rpartition(".")[0] == module
        reach: Reach = "global" if own else "import"
        if isinstance(node, MypyFile):
            self.found[name] = Name(name, f"module {node.fullname}", "import")
        elif isinstance(node, (TypeAlias, TypeVarExpr)):
            self.found[name] = Name(name, "type", reach)
        elif isinstance(node, TypeInfo) and node.fullname in _SPECIAL:
            return
        elif isinstance(node, TypeInfo):
            self.found[name] = Name(name, f"type[{node.name}]", reach, self._class_fits(node))
        else:
            self._put(name, _type_of(node, self.checker), reach)

    def _class_fits(self, info: TypeInfo) -> bool:
        if self.expected is None or info.fallback_to_any:
            return False
        made = type_object_type(info, self.checker.named_type)
        return self._fits(made)


def _is_object(proper: ProperType) -> bool:
    return isinstance(proper, Instance) and proper.type.fullname == "builtins.object"


def _nested(function: FuncItem) -> Iterator[FuncDef | Decorator | OverloadedFuncDef]:
    for statement in function.body.body:
        if isinstance(statement, (FuncDef, Decorator, OverloadedFuncDef)):
            yield statement


def _type_of(node: SymbolNode, checker: TypeChecker) -> Type | None:
    if isinstance(node, Decorator):
        return node.var.type
    if isinstance(node, Var):
        return node.type
    if isinstance(node, (FuncDef, OverloadedFuncDef)):
        return checker.function_type(node)
    return None


def _members(given: Type, checker: TypeChecker) -> list[tuple[str, Type]]:
    """Attributes, properties and methods of an instance with their types, nearest class first."""
    proper = get_proper_type(given)
    if isinstance(proper, TypeVarLikeType):
        proper = get_proper_type(proper.upper_bound)
    if isinstance(proper, TupleType):
        proper = proper.partial_fallback
    if isinstance(proper, CallableType) and proper.is_type_obj():
        proper = get_proper_type(proper.ret_type)
    if not isinstance(proper, Instance):
        return []
    found: dict[str, Type] = {}
    for base in proper.type.mro[:-1]:
        if base.module_name in ("builtins", "typing") and base is not proper.type:
            continue
        for name, symbol in base.names.items():
            if name in found or name.startswith("__") or len(found) >= _MOST_ATTRIBUTES:
                continue
            member = _member(proper, base, symbol, checker)
            if member is not None:
                found[name] = member
    return list(found.items())


def _member(owner: Instance, base: TypeInfo, symbol: SymbolTableNode, checker: TypeChecker) -> Type | None:
    node = symbol.node
    if node is None or isinstance(node, TypeInfo):
        return None
    given = _type_of(node, checker)
    if given is None:
        return None
    given = expand_type_by_instance(given, map_instance_to_supertype(owner, base))
    proper = get_proper_type(given)
    static = isinstance(node, FuncDef) and node.is_static
    if isinstance(node, (FuncDef, Decorator, OverloadedFuncDef)) and isinstance(proper, FunctionLike):
        static = static or (isinstance(node, Decorator) and node.func.is_static)
        bound = proper if static else bind_self(proper, owner)
        is_property = (isinstance(node, Decorator) and node.var.is_property) or (
            isinstance(node, OverloadedFuncDef) and node.is_property
        )
        if is_property:
            first = bound.items[0] if isinstance(bound, Overloaded) else bound
            return first.ret_type if isinstance(first, CallableType) else None
        return bound
    return given
