-- Writes for wrk: one log a request, or a JSON array of them.
--
--   wrk -t1 -c64 -d8 --latency -s benches/wrk.lua http://127.0.0.1:3000              POST /api/logs
--   wrk -t1 -c8  -d8 --latency -s benches/wrk.lua http://127.0.0.1:3000 -- 1000      POST /api/logs/batch, 1000 items
--
-- A log is 330 bytes of JSON; 1,000 users, 20 actions, happened within the last half minute. All requests are made before the first is sent, and then sent in
-- turn: the script's own work is one look-up a request. The last line of the output is JSON.

local LOG_BYTES = 330
local SINGLES = 10000 -- prepared requests, for single logs
local ITEMS = 20000 -- prepared logs, for batches

local actions = {
    "login", "logout", "view", "search", "click", "scroll", "download", "upload", "share", "like",
    "comment", "follow", "unfollow", "edit", "delete", "create", "purchase", "refund", "invite", "export",
}
local agents = { "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0", "Mozilla/5.0 (Macintosh) Safari/17.5", "okhttp/4.12.0" }

local function log(number)
    local random = math.random
    local start = string.format(
        '{"userId":"user-%04d","action":"%s","timestamp":"%s.%03dZ","metadata":{"ip":"10.%d.%d.%d",'
            .. '"userAgent":"%s","path":"/shop/item/%d","sessionId":"%08x%08x","durationMs":%d,"mobile":%s,"note":"',
        random(0, 999), actions[random(#actions)], os.date("!%Y-%m-%dT%H:%M:%S", os.time() - random(0, 29)), random(0, 999),
        random(0, 255), random(0, 255), random(0, 255), agents[random(#agents)], random(100000), random(0, 2 ^ 31 - 1),
        number, random(5000), random(2) == 1 and "true" or "false"
    )
    return start .. string.rep("x", LOG_BYTES - #start - 3) .. '"}}'
end

local requests, last = {}, 0

function init(arguments)
    math.randomseed(42)
    local items = tonumber(arguments[1] or "1")
    local headers = { ["Content-Type"] = "application/json", ["Prefer"] = "return=minimal" }
    if items == 1 then
        headers["Prefer"] = nil
        for number = 1, SINGLES do
            requests[number] = wrk.format("POST", "/api/logs", headers, log(number))
        end
    else
        for batch = 1, math.max(2, ITEMS / items) do
            local logs = {}
            for number = 1, items do
                logs[number] = log(number)
            end
            requests[batch] = wrk.format("POST", "/api/logs/batch", headers, "[" .. table.concat(logs, ",") .. "]")
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
