"""Published wake-word models of other projects, each run by its own runtime's rules, beside wakelark's own."""
