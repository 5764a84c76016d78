"""AWS's service models as typed shapes: generated modules, and what they rest on.

Here live only shapes, exceptions and tables. Reading bytes into them is `homeport.wire`'s work.
"""
