-- Reads a gRPC message, whole by now, for what its route depends on: the model and the version. Both go into headers
-- that callers can't send. Into TorchServe's own message go both again, last, so that TorchServe can't take others
-- than the route did, and the request's id, because TorchServe hands no headers on. One of the Open Inference
-- Protocol goes on as a body of HTTP, which has its route in the path; its errors become gRPC's again here.

local PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
local OIP = "/inference.GRPCInferenceService/"
local NAMED = { -- methods whose messages begin with the name of a model and its version; those of others are empty
  [PREDICTIONS] = true,
  [OIP .. "ModelInfer"] = true,
  [OIP .. "ModelReady"] = true,
  [OIP .. "ModelMetadata"] = true,
}
local COMPRESSED, NAMELESS = ${COMPRESSED}, ${NAMELESS}
local BAD_MESSAGE, BAD_OIP_MESSAGE = ${BAD_MESSAGE}, ${BAD_OIP_MESSAGE}
local NO_NAME, NO_VERSION = ${NO_NAME}, ${NO_VERSION}
local MODEL_NAME, MODEL_VERSION = 1, 2 -- fields, the same in all of them; 3 is Predictions' `input`
local FRAME = 5 -- bytes before the message: whether it is compressed, and its length

-- The number at a place in protobuf's base 128, and the place after it; nothing when it doesn't end.
local function varint(bytes, at)
  local value, scale = 0, 1
  for place = at, at + 9 do
    local byte = bytes:byte(place)
    if not byte then return end
    value, scale = value + byte % 128 * scale, scale * 128
    if byte < 128 then return value, place + 1 end
  end
end

-- The texts of the top-level fields, the last of each as protobuf has it; nothing when it is no message.
local function fields(bytes)
  local found, at = {}, FRAME + 1
  while at <= #bytes do
    local key, size
    key, at = varint(bytes, at)
    if not key or key >= 2 ^ 32 then return end -- Java drops what is above, and would read another field
    local kind = key % 8
    if kind == 0 then
      size, at = varint(bytes, at)
      if not size then return end
    elseif kind == 1 then
      at = at + 8
    elseif kind == 5 then
      at = at + 4
    elseif kind == 2 then
      size, at = varint(bytes, at)
      if not size or at + size > #bytes + 1 then return end
      local number = (key - kind) / 8
      if number == MODEL_NAME or number == MODEL_VERSION then found[number] = bytes:sub(at, at + size - 1) end
      at = at + size
    else
      return
    end
  end
  if at == #bytes + 1 then return found end
end

-- A field of text below 128 bytes, which names, versions and ids are with what surrounds them (or two fields).
local function field(number, text)
  local size = #text < 128 and string.char(#text) or string.char(#text % 128 + 128, math.floor(#text / 128))
  return string.char(number * 8 + 2) .. size .. text
end

local function frame(message)
  local size = #message
  local function byte(scale) return math.floor(size / scale) % 256 end
  return string.char(0, byte(2 ^ 24), byte(2 ^ 16), byte(2 ^ 8), byte(1)) .. message
end

local function whole(bytes)
  if #bytes < FRAME then return false end
  local a, b, c, d = bytes:byte(2, FRAME)
  return ((a * 256 + b) * 256 + c) * 256 + d == #bytes - FRAME
end

local function sane(name)
  return #name <= 100 and name:find("^%w[%w_.-]*$") ~= nil
end

local function refuse(handle, reply)
  handle:respond({ [":status"] = reply.status, ["grpc-status"] = reply.grpc }, reply.error)
end

function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  if path ~= PREDICTIONS and path:sub(1, #OIP) ~= OIP then return end
  local body = handle:body()
  local bytes = body and body:getBytes(0, body:length()) or ""
  if bytes:byte(1) == 1 then return refuse(handle, COMPRESSED) end
  local found = whole(bytes) and fields(bytes)
  if not found or handle:trailers() then
    return refuse(handle, path == PREDICTIONS and BAD_MESSAGE or BAD_OIP_MESSAGE)
  end
  if not NAMED[path] then return end
  local name, version = found[MODEL_NAME] or "", found[MODEL_VERSION] or ""
  if name == "" then
    return refuse(handle, NAMELESS)
  elseif not sane(name) then
    return refuse(handle, NO_NAME)
  elseif version ~= "" and not sane(version) then
    return refuse(handle, NO_VERSION)
  end
  local headers = handle:headers()
  headers:replace("x-pthserve-model", name)
  if version ~= "" then headers:replace("x-pthserve-version", version) end
  handle:clearRouteCache()
  local decided = path == PREDICTIONS and handle:metadata():get("version")
  if decided then
    local id = headers:get("x-request-id")
    local entry = field(1, "x-request-id") .. field(2, id)
    local last = field(MODEL_NAME, name) .. field(MODEL_VERSION, decided) .. field(3, entry)
    body:setBytes(frame(bytes:sub(FRAME + 1) .. last))
    headers:remove("content-length")
  end
end

-- What unbridge.lua has put aside: an error as gRPC has it. The message before it is one that nobody reads.
function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-pthserve-grpc-status")
  if not status then return end
  local message = headers:get("x-pthserve-grpc-message")
  headers:remove("x-pthserve-grpc-status")
  headers:remove("x-pthserve-grpc-message")
  headers:replace(":status", "200")
  headers:replace("content-type", "application/grpc")
  headers:replace("grpc-status", status)
  headers:replace("grpc-message", message)
  local retry_after = headers:get("retry-after")
  local trailers = handle:trailers()
  if trailers then
    if retry_after then trailers:replace("retry-after", retry_after) end
    trailers:replace("grpc-status", status)
    trailers:replace("grpc-message", message)
  end
end
