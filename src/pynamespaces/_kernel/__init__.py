"""The floor: the only part that talks to the kernel.

Thin typed modules over one compiled extension.  Each function is one system call, named
after it, and answers a plain int; `answers.checked` is where -errno becomes an OSError.
"""
