"""Files for other programs that match what is resident: editors first.

Pure until the last step: `values` says what is chosen and what a file becomes, the modules of `editors` know one editor
each, and `writing` is the only one that touches the user's files, after the difference was shown.
"""
