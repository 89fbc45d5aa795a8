"""`actlas models|datasets|extractions|runs list|show|rm`."""

import click

from .common import json_option, print_record, print_rows, store_option

HELP = {
    "models": "Models that were extracted from.",
    "datasets": "Data sets and their label sets.",
    "extractions": "Extractions: one model over one data set at some sites.",
    "runs": "Runs of analyses.",
}


def group_for(noun: str) -> click.Group:
    """Make the group of a noun."""
    one = noun.removesuffix("s")

    @click.group(noun, help=HELP[noun])
    def group() -> None:
        pass

    @group.command("list", help=f"List all {noun}, oldest first.")
    @store_option
    @json_option
    def list_(store: str | None, as_json: bool) -> None:
        from .. import api

        with api.open(store, create=False) as opened:
            print_rows(api.listed(opened, noun), as_json, f"no {noun}")

    @group.command(help=f"Show everything about one {one}.")
    @click.argument("ident", metavar="ID")
    @store_option
    @json_option
    def show(ident: str, store: str | None, as_json: bool) -> None:
        from .. import api

        with api.open(store, create=False) as opened:
            print_record(api.shown(opened, noun, ident), as_json)

    @group.command(help=f"Delete one {one} and what hangs on it.")
    @click.argument("ident", metavar="ID")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @store_option
    @json_option
    def rm(ident: str, yes: bool, store: str | None, as_json: bool) -> None:
        from .. import api

        with api.open(store, create=False) as opened:
            number, said = api.consequence(opened, noun, ident)
            if not yes and not click.confirm(f"delete {said}?", err=True):
                click.echo("nothing deleted", err=True)
                click.get_current_context().exit(1)
            api.remove(opened, noun, number)
            print_record({"removed": said}, as_json)

    return group


GROUPS = [group_for(noun) for noun in HELP]
MODELS = GROUPS[list(HELP).index("models")]


@MODELS.command()
@click.argument("model", metavar="ID|SPEC")
@click.argument("tags", nargs=-1, metavar="[NAME=VALUE]…")
@click.option("--remove", multiple=True, metavar="NAME", help="Take a tag away.")
@store_option
@json_option
def tag(
    model: str, tags: tuple[str, ...], remove: tuple[str, ...], store: str | None, as_json: bool
) -> None:
    """Say what is known of a model: family=bert size=110 accuracy=0.91; without any, show it.

    The view `model_tag` and the analysis `association` compare models by their tags.
    """
    from .. import api

    pairs = [_pair(text) for text in tags]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise click.BadParameter("a tag is given twice; give each once")
    with api.open(store, create=False) as opened:
        found = opened.tag(model, given, remove=remove)
    print_record(found or {"tags": "none"}, as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise click.BadParameter(f"{text!r} is no tag; write NAME=VALUE, as in size=110")
    return name.strip(), value.strip()
