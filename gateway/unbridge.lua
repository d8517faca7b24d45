-- Answers on their way to a gRPC caller whose message went on as a body of HTTP. An error's status would be made of
-- HTTP's, and its message lost: both go into headers of ours, which grpc.lua puts where callers look for them.

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("grpc-status")
  if not status or status == "0" then return end
  headers:replace("x-pthserve-grpc-status", status)
  headers:replace("x-pthserve-grpc-message", headers:get("grpc-message") or "")
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:replace("content-type", "application/x-protobuf") -- or the bridge wouldn't take it
end
