import numpy as np
import pytest

from amalia_vl_hf.training.batches.balance import CostModel, busy_share, fullest_first, longest_first, micro_batches
from amalia_vl_hf.training.batches.row_plan import alike_steps, even_steps, plan_rows
from benchmarks.packing import length_mix

BATCH, MAX_LENGTH = 128, 16384  # stage 2 (paper, Table 2)
STEPS = 32
AMALIA = CostModel(tile=0.54e12, token=16.2e9, pair=344e3)


@pytest.fixture(scope="module")
def mix():
    """Lengths and tiles of 32 steps' conversations, as Table 1's are."""
    made = length_mix(STEPS * BATCH)
    lengths = np.array([one.length for one in made])
    tiles = np.array([one.layout.num_tiles if one.layout else 0 for one in made])
    return lengths, tiles


@pytest.fixture(scope="module")
def plan_for(mix):
    lengths, tiles = mix
    costs = AMALIA.conversations(lengths, tiles)

    def plan(ranks=1, steps=STEPS, seed=0, **changes):
        options = {"conversations": BATCH, "max_length": MAX_LENGTH, **changes}
        return plan_rows(lengths, costs, ranks=ranks, steps=steps, seed=seed, **options)

    return plan


def loads(plan, costs, ranks):
    """Cost of what each rank does in each step, `(steps, ranks)`."""
    rows = np.array([[costs[row].sum() for row in step] for step in plan])
    return rows.reshape(len(plan), -1, ranks).sum(axis=1)


def test_the_mix_is_like_the_papers(mix):
    lengths, tiles = mix
    four = lengths.reshape(-1, 4)
    assert lengths.mean() == pytest.approx(3800, rel=0.03)
    assert tiles.mean() == pytest.approx(6.8, rel=0.03)
    assert lengths.sum() / (4 * four.max(axis=1).sum()) == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("ranks", [1, 2, 8, 64, 128])
def test_every_step_holds_the_batch_and_every_epoch_all_conversations(mix, plan_for, ranks):
    lengths, _ = mix
    plan = plan_for(ranks, steps=STEPS + 3)
    assert {len(step) for step in plan} == {len(plan[0])}
    assert len(plan[0]) % ranks == 0
    assert all(sum(map(len, step)) == BATCH for step in plan)
    assert all(lengths[row].sum() <= MAX_LENGTH for step in plan for row in step)
    epoch = sorted(one for step in plan[:STEPS] for row in step for one in row)
    assert epoch == list(range(len(lengths)))


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_rows_are_as_long_as_the_longest_of_their_step(mix, plan_for, ranks):
    plan = plan_for(ranks)
    tokens = np.array([[mix[0][row].sum() for row in step] for step in plan])
    fill = tokens.sum() / (tokens.shape[1] * tokens.max(axis=1).sum())
    assert fill >= 0.97
    # A step has 29.5 rows' worth of tokens: 30 rows on one rank, 32 where 2 or 8 ranks share them equally.
    assert tokens.mean() >= (0.97 if ranks == 1 else 0.9) * MAX_LENGTH


@pytest.mark.parametrize(("ranks", "balanced", "at_random"), [(8, 0.99, 0.83), (64, 0.97, 0.53), (128, 0.88, 0.47)])
def test_ranks_wait_little_where_random_order_makes_them_wait(mix, plan_for, ranks, balanced, at_random):
    costs = AMALIA.conversations(*mix)
    shuffled = np.random.default_rng(0).permutation(costs).reshape(STEPS, -1, ranks).sum(axis=1)
    assert busy_share(loads(plan_for(ranks), costs, ranks)) >= balanced
    assert busy_share(shuffled) == pytest.approx(at_random, abs=0.05)


def test_the_order_is_that_of_the_seed_and_differs_between_epochs(plan_for):
    assert list(plan_for(8)) == list(plan_for(8))
    assert list(plan_for(8)) != list(plan_for(8, seed=1))
    twice = plan_for(8, steps=2 * STEPS)
    assert twice[:STEPS] != twice[STEPS:]


def test_steps_draw_from_all_lengths_and_differ(mix):
    lengths, _ = mix
    steps = even_steps(lengths, BATCH, np.random.default_rng(0))
    totals = lengths[steps].sum(axis=1)
    assert totals.max() <= 1.01 * totals.min()
    neighbours = np.abs(np.diff(np.argsort(steps, axis=None)))
    assert (neighbours == 1).mean() < 0.02, "conversations that lie side by side in the data do not stay together"


def test_alike_steps_mix_micro_batches_of_all_costs(mix):
    costs = AMALIA.conversations(*mix)
    steps = costs[alike_steps(costs, BATCH, 8, np.random.default_rng(0))]
    micro = steps.reshape(STEPS, -1, 8)
    assert (micro.max(axis=2) <= 1.1 * micro.min(axis=2)).mean() > 0.9
    assert steps.mean(axis=1).std() < 0.2 * steps.mean()


def test_a_step_that_needs_fewer_rows_than_another_gets_as_many():
    lengths = np.array([10] * 7 + [1])
    plan = plan_rows(lengths, lengths * 1.0, conversations=4, ranks=1, max_length=31, steps=2, seed=0)
    tokens = sorted(sum(lengths[row].sum() for row in step) for step in plan)
    assert tokens == [31, 40], "one row would do for one of them"
    assert [len(step) for step in plan] == [2, 2]
    assert all(row for step in plan for row in step)


def test_conversations_drawn_again_fill_up_the_last_step():
    lengths = np.arange(1, 11)
    plan = plan_rows(lengths, lengths * 1.0, conversations=4, ranks=2, max_length=20, steps=3, seed=0)
    drawn = np.bincount([one for step in plan for row in step for one in row])
    assert drawn.sum() == 12
    assert set(drawn) == {1, 2}


def test_a_batch_larger_than_the_dataset_repeats_it():
    lengths = np.array([3, 4, 5])
    plan = plan_rows(lengths, lengths * 1.0, conversations=8, ranks=1, max_length=20, steps=2, seed=0)
    assert [sum(map(len, step)) for step in plan] == [8, 8]


def test_one_rank_alone_waits_for_none_and_packs_what_fits():
    lengths = np.full(8, 400)
    plan = plan_rows(lengths, lengths * 1.0, conversations=4, ranks=1, max_length=1000, steps=2, seed=0)
    assert [[len(row) for row in step] for step in plan] == [[2, 2]] * 2


def test_conversations_of_which_no_two_share_a_row_get_one_each():
    lengths = np.full(16, 600)
    for ranks in (1, 2):
        plan = plan_rows(lengths, lengths * 1.0, conversations=8, ranks=ranks, max_length=1000, steps=2, seed=0)
        assert [[len(row) for row in step] for step in plan] == [[1] * 8] * 2


@pytest.mark.parametrize("ranks", [1, 8, 128])
def test_a_plan_in_arrays_is_that_of_lists(mix, plan_for, ranks):
    """The layouts written down as plainly as can be, of lists of lists."""
    lengths, tiles = mix
    costs, plan = AMALIA.conversations(lengths, tiles), plan_for(ranks)

    def in_turn(rows):
        batches = micro_batches(np.array([costs[row].sum() for row in rows]), ranks)
        return [rows[row] for batch in batches for row in batch]

    def dealt(step):
        rows = longest_first(costs[step].tolist(), lengths[step].tolist(), plan.rows, MAX_LENGTH)
        return in_turn([step[row].tolist() for row in rows])

    generator = np.random.default_rng((0, 0))
    even = even_steps(lengths, BATCH, generator)
    if ranks == 1:
        filled = [fullest_first(lengths[step].tolist(), MAX_LENGTH) for step in even]
        for rows in filled:
            while len(rows) < plan.rows:
                longest = max(rows, key=len)
                rows.append([longest.pop() for _ in range(len(longest) // 2)])
        expected = [[step[row].tolist() for row in rows] for step, rows in zip(even, filled, strict=True)]
    elif ranks == 8:
        expected = [dealt(step) for step in even]
    else:
        alike = alike_steps(costs, BATCH, ranks, generator)
        expected = [in_turn([[one] for one in step]) for step in alike.tolist()]
    assert list(plan) == expected
    assert list(plan.each_row()) == [row for step in expected for row in step]
    assert plan[-2:] == expected[-2:]


@pytest.mark.parametrize(
    ("lengths", "changes", "fault"),
    [
        ([], {}, "no conversations to pack"),
        ([5, 5, 5], {"conversations": 3}, "2 ranks cannot share the 3 conversations"),
        ([5, 21, 5], {}, "conversation 1 has 21 tokens, more than max_length=20"),
    ],
)
def test_what_cannot_be_packed_is_an_error(lengths, changes, fault):
    lengths = np.array(lengths, dtype=np.int64)
    options = {"conversations": 4, "ranks": 2, "max_length": 20, "steps": 1, "seed": 0, **changes}
    with pytest.raises(ValueError, match=fault):
        plan_rows(lengths, lengths * 1.0, **options)
