"""What git-fleet costs, each figure beside its baseline in the same run (DESIGN section 16).

    make bench                         all of it, a table and benchmarks/results.json
    python -m benchmarks claims hooks  some of it

Machines are shared and noisy: what counts are the ratios and medians of a run, never a lone time.
"""
