"""The rows of the clause table, by group; `multimargin_reference.clauses` joins them."""
