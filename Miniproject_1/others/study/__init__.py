"""The study: experiments, measurements of the shipped weights, and the report."""
