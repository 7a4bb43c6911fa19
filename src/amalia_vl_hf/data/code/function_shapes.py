"""Shapes of the seeded Python functions, with their names and docstrings in Portuguese and in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..languages import Language
from .function_words import Options


class FunctionShape(NamedTuple):
    """A function with gaps.

    Args:
        names: What it may be called.
        doc: What it does, a docstring that a part of the functions has.
        arguments: Kind of each, a key of `KINDS`, by its gap.
        body: With gaps that are keys of `WORDS` and `CONSTANTS`.
    """

    names: Options
    doc: dict[Language, str]
    arguments: Mapping[str, str]
    body: str


def _shape(pt: tuple[str, str], en: tuple[str, str], arguments: Mapping[str, str], body: str) -> FunctionShape:
    """Make a shape from what it does, in sentences, and its names, divided by spaces."""
    names: Options = {"pt": tuple(pt[1].split()), "en": tuple(en[1].split())}
    return FunctionShape(names, {"pt": pt[0], "en": en[0]}, arguments, body)


SHAPES = (
    _shape(
        ("Soma os valores divisíveis por $k.", "soma_divisiveis total_multiplos"),
        ("Add the values that $k divides.", "sum_divisible add_multiples"),
        {"values": "integers"},
        """
    $total = 0
    for $value in $values:
        if $value % $k == 0:
            $total += $value
    return $total""",
    ),
    _shape(
        ("Conta os valores acima do limite.", "conta_acima quantos_maiores"),
        ("Count the values above the limit.", "count_above how_many_above"),
        {"values": "integers", "limit": "few"},
        """
    $count = 0
    for $value in $values:
        if $value <= $limit:
            continue
        $count += 1
    return $count""",
    ),
    _shape(
        ("Eleva ao quadrado os valores pequenos.", "quadrados_pequenos eleva"),
        ("Square the small values.", "small_squares square_small"),
        {"values": "integers"},
        """
    return [$value ** 2 for $value in $values if abs($value) < $n]""",
    ),
    _shape(
        ("Troca a ordem das palavras.", "inverte_frase ao_contrario"),
        ("Put the words in reverse order.", "reverse_words backwards"),
        {"text": "sentence"},
        """
    $words = $text.split()
    $words.reverse()
    return "$mark".join($words)""",
    ),
    _shape(
        ("Conta as vogais.", "conta_vogais vogais"),
        ("Count the vowels.", "count_vowels vowels_in"),
        {"text": "sentence"},
        """
    $count = 0
    for $letter in $text.lower():
        if $letter in "$vowels":
            $count += 1
    return $count""",
    ),
    _shape(
        ("Avança cada letra no alfabeto.", "cifra cifra_cesar"),
        ("Shift each letter in the alphabet.", "shift_letters caesar"),
        {"text": "sentence", "index": "few"},
        """
    $result = ""
    for $letter in $text:
        if "a" <= $letter <= "z":
            $letter = chr((ord($letter) - ord("a") + $index) % 26 + ord("a"))
        $result += $letter
    return $result""",
    ),
    _shape(
        ("Conta cada palavra.", "frequencias conta_palavras"),
        ("Count each word.", "frequencies count_words"),
        {"words": "things"},
        """
    $result = {}
    for $word in $words:
        $result[$word] = $result.get($word, 0) + 1
    return sorted($result.items())""",
    ),
    _shape(
        ("Escolhe a palavra mais comprida.", "mais_comprida maior_palavra"),
        ("Choose the longest word.", "longest_word pick_longest"),
        {"words": "things"},
        """
    $best = $words[0]
    for $word in $words[1:]:
        if len($word) > len($best):
            $best = $word
    return f"{$best} ({len($best)})\"""",
    ),
    _shape(
        ("Calcula o fatorial.", "fatorial produto_ate"),
        ("Work out the factorial.", "factorial product_to"),
        {"value": "few"},
        """
    if $value <= 1:
        return 1
    return $value * $f($value - 1)""",
    ),
    _shape(
        ("Máximo divisor comum.", "mdc divisor_comum"),
        ("Greatest common divisor.", "gcd common_divisor"),
        {"value": "number", "limit": "number"},
        """
    while $limit:
        $value, $limit = $limit, $value % $limit
    return $value""",
    ),
    _shape(
        ("Sucessão em que cada termo soma os dois anteriores.", "sucessao fibonacci"),
        ("Sequence whose terms add the two before.", "sequence fibonacci"),
        {"size": "few"},
        """
    $result = [$step, $k]
    while len($result) < $size + 2:
        $result.append($result[-1] + $result[-2])
    return $result""",
    ),
    _shape(
        ("Lista os passos até chegar a 1.", "collatz passos_ate_um"),
        ("List the steps down to 1.", "collatz steps_to_one"),
        {"value": "few"},
        """
    $result = [$value]
    while $value != 1:
        $value = $value // 2 if $value % 2 == 0 else 3 * $value + 1
        $result.append($value)
    return $result""",
    ),
    _shape(
        ("Diz se o número é primo.", "primo verifica_primo"),
        ("Say whether the number is prime.", "check_prime prime"),
        {"value": "some"},
        """
    if $value < 2:
        return "$no"
    for $index in range(2, int($value ** 0.5) + 1):
        if $value % $index == 0:
            return f"$no: {$index}"
    return "$yes\"""",
    ),
    _shape(
        ("Escreve o número noutra base.", "para_base converte"),
        ("Write the number in another base.", "to_base convert"),
        {"value": "number"},
        """
    $result = ""
    while $value > 0:
        $result = str($value % $k) + $result
        $value //= $k
    return $result or "0\"""",
    ),
    _shape(
        ("Soma os algarismos.", "soma_algarismos algarismos"),
        ("Add the digits.", "digit_sum add_digits"),
        {"value": "number"},
        """
    $total = 0
    while $value:
        $value, $index = divmod($value, 10)
        $total += $index
    return $total""",
    ),
    _shape(
        ("Compara um número com o seu inverso.", "capicua simetrico"),
        ("Compare a number with its reverse.", "palindrome symmetric"),
        {"value": "number"},
        """
    $result = int(str($value)[::-1])
    if $result == $value:
        return "$yes"
    return abs($result - $value)""",
    ),
    _shape(
        ("Dá as somas parciais, a partir de $step.", "somas_parciais acumula"),
        ("Give the running totals, from $step on.", "running_totals accumulate"),
        {"values": "integers"},
        """
    $total, $result = $step, []
    for $value in $values:
        $total += $value
        $result.append($total)
    return $result""",
    ),
    _shape(
        ("Parte a lista em grupos de $k.", "parte grupos"),
        ("Cut the list into groups of $k.", "chunks split_groups"),
        {"values": "integers"},
        """
    return [$values[$index:$index + $k] for $index in range(0, len($values), $k)]""",
    ),
    _shape(
        ("Junta as linhas numa só lista, sem os valores até $step.", "achata junta_linhas"),
        ("Join the rows into one list, without values up to $step.", "flatten join_rows"),
        {"table": "matrix"},
        """
    $result = []
    for $row in $table:
        $result.extend($value for $value in $row if $value > $step)
    return $result""",
    ),
    _shape(
        ("Troca linhas por colunas.", "transposta troca"),
        ("Turn rows into columns.", "transpose turn"),
        {"table": "matrix"},
        """
    return [[$row[$index] for $row in $table] for $index in range(len($table))]""",
    ),
    _shape(
        ("Soma a diagonal, cada valor com o seu peso.", "diagonal soma_diagonal"),
        ("Add the diagonal, each value with its weight.", "diagonal weigh_diagonal"),
        {"table": "matrix"},
        """
    $total = 0
    for $index, $row in enumerate($table):
        $total += $row[$index] * ($index + $step)
    return $total""",
    ),
    _shape(
        ("Ordena, trocando vizinhos, e conta as trocas.", "ordena ordena_bolha"),
        ("Sort by swapping neighbours, and count the swaps.", "bubble_sort swap_sort"),
        {"values": "integers"},
        """
    $count = 0
    for $index in range(len($values)):
        for $other in range(len($values) - 1 - $index):
            if $values[$other] > $values[$other + 1]:
                $values[$other], $values[$other + 1] = $values[$other + 1], $values[$other]
                $count += 1
    return $values, $count""",
    ),
    _shape(
        ("Ordena os produtos por quantidade.", "por_quantidade ordena_stock"),
        ("Sort the products by quantity.", "by_quantity sort_stock"),
        {"stock": "stock"},
        """
    $result = sorted($stock, key=lambda $key: (-$stock[$key], $key))
    return " $mark ".join($result)""",
    ),
    _shape(
        ("Divide por cada valor, se puder.", "divide_por reparte"),
        ("Divide by each value, where it can.", "divide_by share_out"),
        {"values": "integers", "limit": "number"},
        """
    $result = []
    for $value in $values:
        try:
            $result.append($limit // ($value - $m))
        except ZeroDivisionError:
            $result.append("$none")
    return $result""",
    ),
    _shape(
        ("Soma os números do texto.", "soma_numeros le_numeros"),
        ("Add the numbers in the text.", "sum_numbers read_numbers"),
        {"text": "mixed"},
        """
    $total, $count = 0, 0
    for $word in $text.split():
        try:
            $total += int($word)
        except ValueError:
            $count += 1
    return f"{$total} ({$count} $wrong)\"""",
    ),
    _shape(
        ("Troca chaves e valores.", "inverte troca_chaves"),
        ("Swap keys and values.", "invert swap_keys"),
        {"stock": "stock"},
        """
    return {$value: $key for $key, $value in $stock.items() if $value > $k}""",
    ),
    _shape(
        ("Agrupa as palavras pelo tamanho.", "agrupa por_tamanho"),
        ("Group the words by length.", "group_words by_length"),
        {"words": "things"},
        """
    $result = {}
    for $word in $words:
        $result.setdefault(len($word), []).append($word)
    return $result""",
    ),
    _shape(
        ("Escolhe o produto com mais unidades.", "mais_stock produto_maximo"),
        ("Choose the product of which there is most.", "top_product most_stock"),
        {"stock": "stock"},
        """
    $best = max($stock, key=$stock.get)
    return $best.upper() if $stock[$best] > $n else $best""",
    ),
    _shape(
        ("Encurta letras repetidas.", "comprime encurta"),
        ("Shorten repeated letters.", "compress shorten"),
        {"text": "repeats"},
        """
    $result, $last, $count = "", "", 0
    for $letter in $text + "$mark":
        if $letter != $last and $count:
            $result += f"{$last}x{$count} "
            $count = 0
        $last = $letter
        $count += 1
    return $result.strip()""",
    ),
    _shape(
        ("Desenha um triângulo.", "triangulo desenha_triangulo"),
        ("Draw a triangle.", "triangle draw_triangle"),
        {"size": "few"},
        """
    for $index in range(1, $size + 1):
        print("$mark" * ($index * $step))""",
    ),
    _shape(
        ("Imprime uma tabuada.", "tabuada imprime_tabuada"),
        ("Print a times table.", "times_table print_table"),
        {"value": "few", "limit": "few"},
        """
    for $index in range(1, $limit + 1):
        print(f"{$value} x {$index} = {$value * $index}")""",
    ),
    _shape(
        ("Procura o primeiro múltiplo.", "procura_multiplo primeiro_multiplo"),
        ("Look for the first multiple.", "find_multiple first_multiple"),
        {"values": "integers", "limit": "few"},
        """
    for $index, $value in enumerate($values):
        if $value % $limit == 0:
            print($index, $value)
            break
    else:
        print("$none")""",
    ),
    _shape(
        ("Tira os repetidos.", "sem_repetidos unicos"),
        ("Drop what comes again.", "without_repeats unique"),
        {"words": "things"},
        """
    $result = []
    for $word in $words:
        if $word not in $result:
            $result.append($word)
    return "$mark".join($result)""",
    ),
    _shape(
        ("Conta os movimentos das torres de Hanói.", "hanoi movimentos"),
        ("Count the moves of the towers of Hanoi.", "hanoi moves"),
        {"value": "few"},
        """
    if $value == 0:
        return 0
    return $f($value - 1) * 2 + 1""",
    ),
    _shape(
        ("Procura pelo meio e conta os passos.", "procura_binaria procura"),
        ("Search by halves, and count the steps.", "binary_search search"),
        {"values": "integers", "limit": "few"},
        """
    $values = sorted($values)
    $low, $high, $count = 0, len($values) - 1, 0
    while $low <= $high:
        $count += 1
        $index = ($low + $high) // 2
        if $values[$index] == $limit:
            return $index, $count
        if $values[$index] < $limit:
            $low = $index + 1
        else:
            $high = $index - 1
    return -1, $count""",
    ),
    _shape(
        ("Dá a maior diferença entre vizinhos.", "maior_salto diferenca_maxima"),
        ("Give the largest gap between neighbours.", "largest_gap widest_step"),
        {"values": "integers"},
        """
    $best = 0
    for $low, $high in zip($values, $values[1:]):
        $best = max($best, abs($high - $low))
    return $best""",
    ),
    _shape(
        ("Diz se os parênteses fecham.", "parenteses equilibrado"),
        ("Say whether the brackets close.", "balanced brackets_close"),
        {"text": "brackets"},
        """
    $stack = []
    for $letter in $text:
        if $letter in "([":
            $stack.append($letter)
        elif $letter in ")]":
            if not $stack or $stack.pop() + $letter not in ("()", "[]"):
                return False
    return not $stack""",
    ),
    _shape(
        ("Roda a lista.", "roda desloca"),
        ("Rotate the list.", "rotate shift"),
        {"values": "integers", "count": "few"},
        """
    $count = ($count + $step) % len($values)
    return $values[$count:] + $values[:$count]""",
    ),
    _shape(
        ("Soma preços com desconto.", "total_com_desconto conta_final"),
        ("Add prices with a discount.", "discounted_total final_bill"),
        {"values": "prices"},
        """
    $total = sum($values)
    if len($values) >= 3:
        $total *= 0.9
    elif $total > $n:
        $total -= $k
    return f"{$total:.2f} €\"""",
    ),
    _shape(
        ("Separa pares e ímpares.", "separa paridade"),
        ("Tell even from odd.", "split_parity parity"),
        {"values": "integers"},
        """
    return {$value: "$even" if $value % 2 == 0 else "$odd" for $value in $values[:$k]}""",
    ),
    _shape(
        ("Junta duas palavras, letra a letra.", "entrelaca alterna"),
        ("Join two words, letter by letter.", "interleave alternate"),
        {"word": "thing", "text": "thing"},
        """
    $result = "".join($letter + $other for $letter, $other in zip($word, $text))
    return $result + "$mark" * abs(len($word) - len($text))""",
    ),
    _shape(
        ("Escreve em numeração romana.", "romano para_romano"),
        ("Write in Roman numerals.", "roman to_roman"),
        {"value": "some"},
        """
    $result = ""
    for $index, $word in [(40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]:
        while $value >= $index:
            $result += $word
            $value -= $index
    return $result or "$none\"""",
    ),
    _shape(
        ("Aplica um passo várias vezes.", "repete aplica_vezes"),
        ("Apply a step several times.", "repeat apply_times"),
        {"value": "some", "count": "few"},
        """
    def $inner($other):
        return $other * $k - $step

    for _ in range($count):
        $value = $inner($value)
    return $value""",
    ),
)
