"""The command ``completion``: a script that completes commands and options in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROGRAM = "napari-clipseg"
SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Known:
    """An option of a command, or an argument.

    Attributes
    ----------
    flags : tuple of str
        Its names; empty for an argument.
    help : str
        What it is.
    choices : tuple of str
        What it may be, if that is known.
    takes : bool
        Whether a value follows.
    many : bool
        Whether several values do.
    """

    flags: tuple[str, ...]
    help: str
    choices: tuple[str, ...]
    takes: bool
    many: bool


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], parser: argparse.ArgumentParser
) -> None:
    """Add the command to those of ``napari-clipseg``, whose parser is given."""
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands in a shell",
        description=(
            "Print a script for a shell. bash: source <(napari-clipseg completion bash). zsh: "
            "source <(napari-clipseg completion zsh). fish: napari-clipseg completion fish | "
            "source. Put that line into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish."
        ),
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(run=lambda arguments: _print(script(parser, arguments.shell)))


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script of a shell for all commands of a parser."""
    commands = dict(_commands(parser))
    about = {
        one.dest: one.help or ""
        for action in _subcommands(parser)
        for one in action._choices_actions
    }
    lines = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands, about)
    return "\n".join(lines) + "\n"


def _print(text: str) -> int:
    print(text, end="")
    return 0


def _subcommands(parser: argparse.ArgumentParser) -> list[Any]:
    # argparse has no public way to its own commands.
    return [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[Known]]]:
    for action in _subcommands(parser):
        for name, inner in action.choices.items():
            yield name, [_known(one) for one in inner._actions]


def _known(action: argparse.Action) -> Known:
    choices = tuple(map(str, action.choices or ()))
    text = (action.help or "") % {"default": action.default} if action.help else ""
    flags, nargs = tuple(action.option_strings), action.nargs
    return Known(flags, text, choices, nargs != 0, nargs in ("+", "*"))


def _bash(commands: dict[str, list[Known]], about: dict[str, str]) -> Iterator[str]:
    joined = " ".join
    yield "_napari_clipseg() {"
    yield '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""'
    yield '    if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'        words="{joined(commands)} --help --version"'
    yield "    else"
    yield '        case "${COMP_WORDS[1]} $before" in'
    for name, known in commands.items():
        for one in known:
            for flag in one.flags if one.choices else ():
                yield f'            "{name} {flag}") words="{joined(one.choices)}" ;;'
            for flag in one.flags if one.takes and not one.choices else ():
                yield f'            "{name} {flag}") words="" ;;'
    yield '            *) case "${COMP_WORDS[1]}" in'
    for name, known in commands.items():
        words = [flag for one in known for flag in one.flags]
        words += [choice for one in known if not one.flags for choice in one.choices]
        yield f'                {name}) words="{joined(words)}" ;;'
    yield "            esac ;;"
    yield "        esac"
    yield "    fi"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$word"))'
    yield "}"
    # What is no option is a file.
    yield f"complete -o default -F _napari_clipseg {PROGRAM}"


def _zsh(commands: dict[str, list[Known]], about: dict[str, str]) -> Iterator[str]:
    yield f"#compdef {PROGRAM}"
    yield "_napari_clipseg() {"
    yield "    if (( CURRENT == 2 )); then"
    yield "        local -a commands=("
    for name in commands:
        yield "            " + _quoted(f"{name}:{about.get(name, '')}")
    yield "        )"
    yield "        _describe command commands"
    yield "        return"
    yield "    fi"
    yield '    case "${words[2]}" in'
    for name, known in commands.items():
        yield f"        {name})"
        yield "            shift words; (( CURRENT-- ))"
        specs = [_zsh_spec(one, flag) for one in known for flag in one.flags or ("",)]
        yield "            _arguments " + " ".join(map(_quoted, specs)) + " ;;"
    yield "    esac"
    yield "}"
    yield f"compdef _napari_clipseg {PROGRAM}"


def _zsh_spec(known: Known, flag: str) -> str:
    value = f"({' '.join(known.choices)})" if known.choices else "_files"
    if not flag:
        return f"{'*' * known.many}:argument:{value}"
    text = known.help.replace("[", "(").replace("]", ")").replace(":", ",")
    return f"*{flag}[{text}]" + (f":value:{value}" if known.takes else "")


def _fish(commands: dict[str, list[Known]], about: dict[str, str]) -> Iterator[str]:
    for name in commands:
        yield (
            f"complete -c {PROGRAM} -n __fish_use_subcommand -f -a {name} "
            f"-d {_quoted(about.get(name, ''))}"
        )
    for name, known in commands.items():
        here = f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {name}'"
        for one in known:
            for flag in one.flags:
                if not flag.startswith("--"):
                    continue
                takes = " -r" if one.takes else ""
                values = f" -f -a {_quoted(' '.join(one.choices))}" if one.choices else ""
                yield f"{here} -l {flag[2:]}{takes}{values} -d {_quoted(one.help)}"
            if not one.flags and one.choices:
                yield f"{here} -f -a {_quoted(' '.join(one.choices))}"


def _quoted(text: str) -> str:
    """Return a text that all three shells read as one word."""
    return "'" + text.replace("'", "") + "'"
