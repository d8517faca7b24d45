-- TorchServe's own refusals, in our words: what its handlers answered has an x-model-version and passes as it is.
-- Runs behind the router, so that an answer it marks with x-pthserve-again is asked for once more.

local UNREACHED = { "503", "unavailable", "the model couldn't answer",
  "try again; Retry-After says in how many seconds", retry_after = "2", grpc = "14" }
local OVERLOADED = { "503", "overloaded", "too many requests are waiting",
  "try again; Retry-After says in how many seconds", retry_after = "1", grpc = "14" }
local UNKNOWN = { "404", "unknown_version", "this version isn't served any more",
  "name no version for the default", grpc = "5" }
local TOO_LARGE = { "413", "too_large", "the body is too large", "send less at a time", grpc = "8" }
local BAD_INPUT = { "400", "bad_input", "the body can't be read as what its content type says",
  "give the right one, for instance with curl -T FILE, -F image=@FILE or -H 'Content-Type: application/json'",
  grpc = "3" }

-- What it comes to, by status and words of TorchServe 0.12.
local function told(status, words)
  if status == 404 or words:find("NotFoundException", 1, true) then return UNKNOWN end
  if status == 413 then return TOO_LARGE end
  if words:find("no worker", 1, true) then return OVERLOADED end -- its queue is full
  if status < 500 or words:find("DecoderException", 1, true) then return BAD_INPUT end
  return UNREACHED
end

local function error_body(reply, id)
  local form = '{"error": {"code": "%s", "message": "%s", "hint": "%s"}, "request_id": "%s"}'
  return form:format(reply[2], reply[3], reply[4], id)
end

-- Headers of the answer, and whether a worker died over it: then another one may do.
local function dress(headers, reply, died)
  if reply.retry_after then headers:replace("retry-after", reply.retry_after) end
  if died then headers:replace("x-pthserve-again", "yes") end
end

-- Over gRPC an error is headers alone. TorchServe calls all of its own INTERNAL; UNAVAILABLE is its listener's.
local function on_grpc(handle, id)
  local headers = handle:headers()
  local status = headers:get("grpc-status")
  if status ~= "13" and status ~= "14" then return end
  local words = headers:get("grpc-message") or ""
  local reply = told(500, (words:gsub("%%20", " ")))
  headers:replace("grpc-status", reply.grpc)
  headers:replace("grpc-message", error_body(reply, id))
  dress(headers, reply, status == "14" or words:find("Worker", 1, true) ~= nil)
end

local function on_rest(handle, id)
  local status = tonumber(handle:headers():get(":status"))
  if status < 400 or handle:headers():get("x-model-version") then return end
  local body = handle:body(true)
  local words = body:getBytes(0, math.min(body:length(), 4096))
  local reply = told(status, words)
  body:setBytes(error_body(reply, id))
  local headers = handle:headers() -- those from before body() are out of scope
  headers:replace(":status", reply[1])
  headers:replace("content-type", "application/json")
  dress(headers, reply, status == 507 or words:find("Worker died", 1, true) ~= nil)
end

function envoy_on_request(handle)
  local id = handle:headers():get("x-request-id")
  handle:streamInfo():dynamicMetadata():set("pthserve", "request_id", id)
end

function envoy_on_response(handle)
  local id = handle:streamInfo():dynamicMetadata():get("pthserve")["request_id"]
  local kind = handle:headers():get("content-type") or ""
  if kind:find("^application/grpc") then on_grpc(handle, id) else on_rest(handle, id) end
end
