-- SPDX-License-Identifier: GPL-2.0-only
--
-- GUE for Wireshark and tshark, which do not know it: what is in such a tunnel, instead of "Data".
--
--   tundish capture service web | tshark -X lua_script:/usr/share/tundish/gue.lua -r -
--   wireshark -X lua_script:/usr/share/tundish/gue.lua FILE
--
-- It may go into Wireshark's folder of plugins as well. Another port than 6080: -d udp.port==6081,gue.
local gue = Proto("gue", "Generic UDP Encapsulation")
local variant = ProtoField.uint8("gue.variant", "Variant", base.DEC, nil, 0xc0)
local control = ProtoField.bool("gue.control", "Control message", 8, nil, 0x20)
local words = ProtoField.uint8("gue.words", "Words of optional fields", base.DEC, nil, 0x1f)
local protocol = ProtoField.uint8("gue.protocol", "Protocol", base.DEC)
local flags = ProtoField.uint16("gue.flags", "Flags", base.HEX)
gue.fields = {variant, control, words, protocol, flags}

-- Variant 1 is an IP packet right behind UDP, whose version the first bits are.
local function inner_ip(buffer, packet, tree)
	local name = buffer(0, 1):bitfield(0, 4) == 6 and "ipv6" or "ip"
	return Dissector.get(name):call(buffer, packet, tree)
end

function gue.dissector(buffer, packet, tree)
	if buffer:len() < 4 then return 0 end
	packet.cols.protocol = "GUE"
	local kind = buffer(0, 1):bitfield(0, 2)
	if kind == 1 then return inner_ip(buffer, packet, tree) end
	if kind ~= 0 then return 0 end
	local head = 4 + 4 * buffer(0, 1):bitfield(3, 5)
	if buffer:len() < head then return 0 end
	local shown = tree:add(gue, buffer(0, head))
	for _, field in ipairs({variant, control, words}) do shown:add(field, buffer(0, 1)) end
	shown:add(protocol, buffer(1, 1))
	shown:add(flags, buffer(2, 2))
	if buffer(0, 1):bitfield(2, 1) == 1 then return head end
	local inside = DissectorTable.get("ip.proto"):get_dissector(buffer(1, 1):uint())
	if inside and buffer:len() > head then inside:call(buffer(head):tvb(), packet, tree) end
	return buffer:len()
end

DissectorTable.get("udp.port"):add(6080, gue)
