-- The action `lua.bekci ADDRESS` of HAProxy: asks Bekci, at that address, whether a request may pass, by /forward-auth.
--
-- 1. Bekci is told method, scheme, host, path and query as HAProxy forwards them, and the client's other headers as they came.
-- 2. 200: each identity header of the answer replaces the client's, and the request goes on.
-- 3. Any other answer is the client's answer. None at all is 503: what cannot be asked is not let in.

local TIMEOUT_MS = 5000

-- Headers about this connection or its body, which the question does not have, and those that are told anew.
local NOT_TOLD = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true,
}

local function question(txn)
    local headers = {}
    local is_tls = txn.f:ssl_fc()
    for name, values in pairs(txn.http:req_get_headers()) do
        if not NOT_TOLD[name] and not name:find("^x%-forwarded%-") then
            headers[name] = {}
            for index = 0, #values do
                table.insert(headers[name], values[index])
            end
        end
    end
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-proto"] = { (is_tls == true or is_tls == 1) and "https" or "http" }
    headers["x-forwarded-host"] = { txn.sf:req_hdr("host") }
    headers["x-forwarded-uri"] = { txn.sf:pathq() }
    headers["x-forwarded-for"] = { txn.sf:src() }
    return headers
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status, body = body })
    for name, values in pairs(headers) do
        if not NOT_TOLD[name] then
            for _, value in pairs(values) do
                reply:add_header(name, value)
            end
        end
    end
    txn:done(reply)
end

core.register_action("bekci", { "http-req" }, function(txn, bekci)
    local asked, answer = pcall(function()
        return core.httpclient():get({
            url = "http://" .. bekci .. "/forward-auth",
            headers = question(txn),
            timeout = TIMEOUT_MS,
        })
    end)
    if not asked or not answer or not answer.headers then
        return refuse(txn, 503, {}, nil)
    end
    if answer.status ~= 200 then
        return refuse(txn, answer.status, answer.headers, answer.body)
    end
    for name, values in pairs(answer.headers) do
        -- The names of every server.decision_preset: X-Auth-*, X-Auth-Request-*, X-authentik-*, Remote-*.
        if name:find("^x%-auth") or name:find("^remote%-") then
            txn.http:req_set_header(name, values[0] or "")
        end
    end
end, 1)
