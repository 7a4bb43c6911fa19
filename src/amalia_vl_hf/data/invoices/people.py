"""Who buys and sells, and where: names of people, streets, and towns with their postal codes and telephone areas."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

TOWNS = Path(__file__).with_name("towns.txt")
ISLANDS = 0.15  # share of sellers in the Azores and Madeira, whose rates of VAT are their own
FIRST_NAMES = (
    "Maria", "Ana", "Inês", "Leonor", "Matilde", "Beatriz", "Carolina", "Mariana", "Joana", "Sofia", "Rita",
    "Catarina", "Teresa", "Isabel", "Margarida", "Helena", "Luísa", "Fernanda", "Graça", "Conceição", "João",
    "José", "António", "Manuel", "Francisco", "Pedro", "Rui", "Tiago", "Duarte", "Gonçalo", "Afonso", "Miguel",
    "Luís", "Carlos", "Jorge", "Nuno", "Paulo", "Simão", "Vítor", "Hélder", "Zélia", "Lúcia", "Óscar", "Fábio",
    "Cátia", "Mário", "Álvaro", "Eva",
)  # fmt: skip
SURNAMES = (
    "Silva", "Santos", "Ferreira", "Pereira", "Oliveira", "Costa", "Rodrigues", "Martins", "Sousa", "Fernandes",
    "Gonçalves", "Gomes", "Lopes", "Marques", "Alves", "Almeida", "Ribeiro", "Pinto", "Carvalho", "Teixeira",
    "Moreira", "Correia", "Mendes", "Nunes", "Soares", "Vieira", "Monteiro", "Cardoso", "Rocha", "Raposo", "Neves",
    "Coelho", "Cruz", "Cunha", "Pires", "Ramos", "Reis", "Simões", "Antunes", "Matos", "Fonseca", "Machado",
    "Araújo", "Barbosa", "Tavares", "Lourenço", "Castro", "Figueiredo", "Azevedo", "Freitas", "Magalhães",
    "Henriques", "Brandão", "Leão", "Patrício", "Falcão", "Guimarães", "Leitão", "Melo", "Bragança", "Câmara",
    "Estêvão", "Júdice", "Sá", "Vasconcelos",
)  # fmt: skip
STREETS = (
    "Rua da Conceição", "Avenida da República", "Praça do Município", "Travessa da Fonte", "Rua de São Bento",
    "Rua 25 de Abril", "Avenida dos Bombeiros Voluntários", "Rua da Liberdade", "Largo do Rossio", "Rua do Comércio",
    "Rua Luís de Camões", "Avenida Almirante Reis", "Rua Alexandre Herculano", "Rua do Sol", "Calçada da Estação",
    "Rua Dr. António José de Almeida", "Rua 5 de Outubro", "Rua Miguel Bombarda", "Rua da Igreja", "Largo da Sé",
    "Rua do Poço Novo", "Urbanização Quinta do Lago", "Rua da Escola", "Avenida Fernando Pessoa", "Rua Eça de Queirós",
    "Rua dos Combatentes", "Rua das Flores", "Beco do Alecrim", "Estrada Nacional", "Rua Almeida Garrett",
    "Rua do Moinho", "Rua Gil Vicente", "Travessa do Forno", "Praceta das Oliveiras", "Rua João de Deus",
    "Zona Industrial, Lote", "Rua Afonso de Albuquerque", "Avenida Marginal", "Rua Padre Américo", "Rua do Cruzeiro",
)  # fmt: skip
FLOORS = ("", "", "", ", 1.º Dto.", ", 2.º Esq.", ", 3.º A", ", r/c", ", loja B", ", 4.º Dto.", ", 1.º")


class Town(NamedTuple):
    """A town, the four digits that its postal codes may begin with, its telephone area, and its fiscal space."""

    name: str
    codes: tuple[int, ...]
    area: str
    space: str


class Address(NamedTuple):
    """A street with its number, and the line with postal code and town below it."""

    street: str
    town: str


@lru_cache(maxsize=1)
def towns() -> tuple[Town, ...]:
    """Read the table of towns."""
    lines = TOWNS.read_text(encoding="utf-8").splitlines()
    return tuple(_town(line) for line in lines if line and not line.startswith("#"))


def _town(line: str) -> Town:
    name, codes, area, *space = (part.strip() for part in line.split("|"))
    return Town(name, tuple(map(int, codes.split())), area, space[0] if space else "mainland")


def draw_town(rng: random.Random) -> Town:
    """Draw a town, one in a few of them on an island."""
    island = rng.random() < ISLANDS
    return rng.choice([town for town in towns() if (town.space != "mainland") == island])


def draw_address(rng: random.Random, town: Town) -> Address:
    """Draw an address in a town, with a postal code of it."""
    street = rng.choice(STREETS)
    number = rng.randint(1, 240)
    joined = f"{street} {number}" if "Lote" in street else f"{street}, n.º {number}{rng.choice(FLOORS)}"
    code = f"{rng.choice(town.codes)}-{rng.randint(1, 899):03}"
    return Address(joined, f"{code} {town.name}")


def town_of(address: str) -> Town | None:
    """Find the town whose postal code an address ends with; None where code and town do not go together.

    >>> town_of("Rua do Sol, n.º 2, 8800-101 Tavira").area
    '281'
    >>> town_of("Rua do Sol, n.º 2, 1000-101 Tavira")
    """
    for town in towns():
        before, found, after = address.rpartition(f" {town.name}")
        code = before[-8:]
        if found and not after and code[4:5] == "-" and code.replace("-", "", 1).isdecimal():
            return town if int(code[:4]) in town.codes else None
    return None


def draw_person(rng: random.Random) -> str:
    """Draw the name of a person, with one or two surnames."""
    return " ".join([rng.choice(FIRST_NAMES), *rng.sample(SURNAMES, rng.choice((1, 2, 2)))])


def draw_phone(rng: random.Random, town: Town) -> str:
    """Draw a telephone number of a town, in groups of three."""
    digits = town.area + "".join(rng.choice("0123456789") for _ in range(9 - len(town.area)))
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}"
