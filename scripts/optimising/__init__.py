"""What may execute a model: built, proven against eager float32, timed, and the fastest kept.

optimise, up -> measurement ---- a clean interpreter: measure.py -> trials ----> publishing
                                 ground -> candidates -> gate -> timing -> choosing
"""
