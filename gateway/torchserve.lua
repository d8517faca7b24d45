-- TorchServe's own refusals, in our words: what its handlers answered has an x-model-version and passes as it is.
-- Runs behind the router, so that an answer it marks with x-pthserve-again is asked for once more.

local UNREACHED, OVERLOADED = ${UNREACHED}, ${OVERLOADED}
local GONE, TOO_LARGE, LONG_HEADERS = ${GONE}, ${TOO_LARGE}, ${LONG_HEADERS}
local BAD_BODY, BAD_MESSAGE = ${BAD_BODY}, ${BAD_MESSAGE}
local OIP = "/inference.GRPCInferenceService/" -- came as a gRPC message; here it is a body of HTTP

-- What it comes to, by status and words of TorchServe 0.12, and whether a worker died over it: another one may do.
local function told(status, words)
  if status == 507 or words:find("Worker died", 1, true) then return UNREACHED, true end
  if status == 404 or words:find("NotFoundException", 1, true) then return GONE end
  if status == 413 then return TOO_LARGE end
  if words:find("no worker", 1, true) then return OVERLOADED end -- its queue is full
  if words:find("Invalid HTTP message", 1, true) then return LONG_HEADERS end -- above Netty's 4 and 8 kB
  if status < 500 or words:find("DecoderException", 1, true) then return BAD_BODY end
  return UNREACHED
end

-- To KServe v1 and the Open Inference Protocol, by REST, an error is a text.
local function error_body(reply, id, path)
  local said = (path or ""):find("^/v[12]/") and reply.plain or reply.error
  return '{"error": ' .. said .. ', "request_id": "' .. id .. '"}'
end

local function dress(headers, reply, died)
  if reply.retry_after then headers:replace("retry-after", reply.retry_after) end
  if died then headers:replace("x-pthserve-again", "yes") end
end

-- The same by gRPC's status: 2 is a message that Java can't read, 8 one that is too large, 14 its listener's.
local function told_by_grpc(status, words)
  if status == "2" then return BAD_MESSAGE end
  if status == "14" then return UNREACHED, true end
  return told(status == "8" and 413 or 500, words)
end

-- Over gRPC an error is headers alone. A handler's own is none: TorchServe says OK to it.
local function on_grpc(handle, id)
  local headers = handle:headers()
  local status = headers:get("grpc-status") or "0"
  if status == "0" then return end
  local words = headers:get("grpc-message") or ""
  local reply, died = told_by_grpc(status, (words:gsub("%%20", " ")))
  headers:replace("grpc-status", reply.grpc)
  headers:replace("grpc-message", error_body(reply, id))
  dress(headers, reply, died)
end

local function on_rest(handle, id, path)
  local status = tonumber(handle:headers():get(":status"))
  if status < 400 or handle:headers():get("x-model-version") then return end
  local body = handle:body(true)
  local words = body:getBytes(0, math.min(body:length(), 4096))
  local reply, died = told(status, words)
  local by_grpc = (path or ""):sub(1, #OIP) == OIP
  body:setBytes(by_grpc and "" or error_body(reply, id, path))
  local headers = handle:headers() -- those from before body() are out of scope
  headers:replace(":status", reply.status)
  headers:replace("content-type", by_grpc and "application/x-protobuf" or "application/json")
  if by_grpc then
    headers:remove("content-length") -- the bridge frames also an empty message
    headers:replace("grpc-status", reply.grpc)
    headers:replace("grpc-message", error_body(reply, id, path))
  end
  dress(headers, reply, died)
end

function envoy_on_response(handle)
  local request = handle:streamInfo():dynamicMetadata():get("pthserve")
  local id = request["request_id"]
  local kind = handle:headers():get("content-type") or ""
  if kind:find("^application/grpc") then on_grpc(handle, id) else on_rest(handle, id, request["path"]) end
end
