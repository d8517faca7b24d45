"""What an endpoint does under load, beside services that do the same work, in one run.

figures      one round of load, and the medians of several
target       where a request goes, and its bytes
client       the HTTP client: a program of its own, run by `loading`
bare_loop    the same work without a server: a program too, run by `bare`
services     what tutorials write: Flask, FastAPI
contestants  each of them started, asked, stopped
rounds       turn by turn, so that what disturbs the machine disturbs all
table, report
"""
