"""Charts of InfographicSynth: what they say, how they are drawn, what is asked about them, and the checks."""
