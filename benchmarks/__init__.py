"""What git-fleet costs, each figure beside its baseline in the same run (DESIGN section 16).

    make bench                         all of it, a table and benchmarks/results.json
    python -m benchmarks integrate     some of it
    python -m benchmarks predict REPO  how well conflicts of your own merges could have been predicted
    make bench FULL=1                  the baselines to their end, which takes half an hour more

Machines are shared and noisy: what counts are the ratios and medians of a run, never a lone time.
"""
