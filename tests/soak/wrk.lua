-- SPDX-License-Identifier: GPL-2.0-only
-- For wrk: each connection rests between its requests, so that the load is one that the machine can
-- bear beside all that happens meanwhile, and a line of counts at the end.
function delay()
	return tonumber(os.getenv("WRK_REST_MS") or "20")
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format("counts %d %d %d connect %d read %d write %d status %d timeout %d\n", summary.requests,
		e.connect + e.read + e.write + e.status + e.timeout, latency.max / 1000, e.connect, e.read, e.write, e.status, e.timeout))
end
