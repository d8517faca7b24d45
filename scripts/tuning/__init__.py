"""Which settings of a recipe serve a model fastest on this machine, found under load.

setting    what is varied            editing   the recipe's text with another setting
goal       what is wanted of it      score     which of two did better
stages     which settings to try     search    stage by stage, the better one stays
trials     what a search needs       variants  settings as endpoints on an `up` of their own
frontier   those that nothing beats in both items/s and p99
report     plots and figures in a file
"""
