-- Reads for wrk, of logs written by `ceilings backlog-...`. The last line of the output is JSON.
--
--   wrk ... -s benches/reads.lua URL -- page 1 100      the first page of 100
--   wrk ... -s benches/reads.lua URL -- id 500000       by id, below that number
--   wrk ... -s benches/reads.lua URL -- user 100        the first page of one of 1,000 users

local requests, last = {}, 0

function init(arguments)
    math.randomseed(42)
    local kind, number, limit = arguments[1], tonumber(arguments[2]), arguments[3]
    local function add(path)
        requests[#requests + 1] = wrk.format("GET", path)
    end
    if kind == "page" then
        add(string.format("/api/logs?page=%d&limit=%s", number, limit))
    else
        for _ = 1, 10000 do
            if kind == "id" then
                add(string.format("/api/logs/%d", math.random(0, number - 1)))
            else
                add(string.format("/api/logs?userId=user-%04d&limit=%d", math.random(0, 999), number))
            end
        end
    end
end

function request()
    last = last % #requests + 1
    return requests[last]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"seconds":%.3f,"failed":%d,"broken":%d,"p50_ms":%.3f,"p90_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
        summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50) / 1000, latency:percentile(90) / 1000, latency:percentile(99) / 1000, latency.max / 1000
    ))
end
