def test_demo_does_not_mix_two_runs(tmp_path, refusal):
    (tmp_path / "settings.json").write_text('{"seed": 5}', encoding="utf-8")
    assert "holds another run (seed was 5, now 0" in refusal("demo", "--out", str(tmp_path))
