#!/usr/bin/env python3
"""Writes fuzz/seeds/: frames of RFC 6455 §5.7 and their wrong neighbours, heads of §1.2 and theirs, messages of RFC 7692 §7.2.3
and theirs.

Run  python3 fuzz/make_seeds.py      The output is committed; run it again when a target's input format changes.
"""

import pathlib
import random
import shutil
import zlib

HERE = pathlib.Path(__file__).parent / "seeds"
CLIENT, SHAPED, ECHO, PARTS, LONG, SMALL, MIDDLE, TINY, NO_TEXT = 1, 2, 4, 8, 16, 32, 64, 96, 128
CLOSE, PING, SEND, TIME, PAUSE, EOF, CLOSE_AND_WAIT = range(1, 8)
KEY = bytes.fromhex("37fa213d")


def frame(first, payload=b"", masked=True, form=None, announce=None):
    length = len(payload) if announce is None else announce
    form = form if form is not None else 0 if length < 126 else 2 if length < 65536 else 8
    bit = 0x80 if masked else 0
    head = bytes([first, bit | (length if form == 0 else 126 if form == 2 else 127)])
    head += length.to_bytes(form, "big") if form else b""
    if masked:
        payload = bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))
        head += KEY
    return head + payload


def decoder(stream, flags=ECHO, writes=0, action=0, place=0, splits=(3, 1)):
    return bytes([flags, writes, action, place >> 8, place & 255, len(splits), *splits]) + stream


def shaped(*frames, **case):
    case["flags"] = case.get("flags", ECHO) | SHAPED
    return decoder(b"".join(frames), **case)


def shape(first, kind, number, content=b""):
    return bytes([first, number << 3 | kind, 0x37]) + content


def frames():
    hello = frame(0x81, b"Hello")
    fragments = frame(0x01, b"Hel") + frame(0x89, b"mid") + frame(0x80, b"lo")
    close = frame(0x88, b"\x03\xe8bye")
    split = "grüße € 😀".encode()
    yield "5_7_hello_masked", decoder(hello)
    yield "5_7_hello_unmasked", decoder(frame(0x81, b"Hello", masked=False), ECHO | CLIENT)
    yield "5_7_fragments", decoder(frame(0x01, b"Hel") + frame(0x80, b"lo"))
    yield "5_7_ping_pong", decoder(frame(0x89, b"Hello") + frame(0x8A, b"Hello"))
    yield "5_7_256_bytes", decoder(frame(0x82, bytes(256)))
    yield "5_7_64_kib", shaped(shape(0x82, 3, 15))
    yield "ping_between_fragments", decoder(fragments + close)
    yield "ping_between_fragments_parts", decoder(fragments + close, PARTS)
    yield "client_fragments", decoder(frame(0x01, b"Hel", False) + frame(0x80, b"lo", False), CLIENT | ECHO)
    yield "empty_messages", decoder(frame(0x81) + frame(0x82) + frame(0x01) + frame(0x00) + frame(0x80))
    yield "empty_messages_tiny", decoder(frame(0x82) + frame(0x81) + frame(0x81, b"x"), TINY | ECHO)
    yield "utf8_cut_everywhere", decoder(b"".join(frame(0, bytes([byte])) for byte in split).replace(b"\0", b"\1", 1) + frame(0x80))
    yield "utf8_bad_byte", decoder(frame(0x81, b"ab\xf4\x90\x80\x80"))
    yield "utf8_surrogate", decoder(frame(0x01, b"\xed") + frame(0x80, b"\xa0\x80"))
    yield "utf8_broken_off", decoder(frame(0x81, b"ab\xe2\x82") + hello)
    yield "utf8_bad_parts", decoder(frame(0x01, b"abc") + frame(0x80, b"de\xff"), PARTS)
    for name, first in [("rsv1", 0xC1), ("rsv2", 0xA1), ("rsv3", 0x91), ("opcode_3", 0x83), ("opcode_11", 0x8B)]:
        yield name, decoder(frame(first, b"x"))
    yield "ping_fragmented", decoder(frame(0x09, b"x"))
    yield "ping_long", decoder(frame(0x89, bytes(126)))
    yield "ping_125", decoder(frame(0x89, b"p" * 125))
    yield "pings_above_burst", decoder(frame(0x89, b"p") * 6, SMALL)
    yield "pings_unwritten", decoder(frame(0x89, b"a") + frame(0x89, b"b") + frame(0x89, b"c"), SMALL, writes=255)
    yield "pong_unasked", decoder(frame(0x8A) + hello)
    yield "not_masked", decoder(frame(0x81, b"Hello", masked=False))
    yield "masked_by_server", decoder(hello, CLIENT)
    yield "continuation_alone", decoder(frame(0x80, b"x"))
    yield "message_inside_message", decoder(frame(0x01, b"x") + frame(0x81, b"y"))
    yield "length_long_form_2", decoder(frame(0x82, b"x" * 125, form=2))
    yield "length_long_form_8", decoder(frame(0x82, b"x", form=8))
    yield "length_long_form_lenient", decoder(frame(0x82, b"x", form=8) + frame(0x89, b"x"), LONG | ECHO)
    yield "length_top_bit", decoder(frame(0x82, announce=1 << 63))
    yield "length_largest", decoder(frame(0x82, announce=(1 << 63) - 1))
    yield "length_announced_only", decoder(frame(0x82, b"x", announce=1 << 20))
    yield "length_sum_overflows", decoder(frame(0x02, b"x") + frame(0x80, announce=(1 << 63) - 1))
    yield "message_100_of_100", decoder(frame(0x02, b"x" * 60) + frame(0x80, b"y" * 40), SMALL | ECHO)
    yield "message_101_of_100", decoder(frame(0x02, b"x" * 60) + frame(0x80, b"y" * 41), SMALL | ECHO)
    yield "fragments_4_of_3", decoder(frame(0x02) + frame(0) * 2 + frame(0x80), SMALL)
    yield "text_refused", decoder(frame(0x82, b"ok") + hello, NO_TEXT | ECHO)
    for code in (1000, 1004, 1005, 1006, 1014, 1015, 2999, 3000, 4999, 5000):
        yield f"close_{code}", decoder(frame(0x88, code.to_bytes(2, "big")) + hello)
    yield "close_empty", decoder(frame(0x88))
    yield "close_one_byte", decoder(frame(0x88, b"\x03"))
    yield "close_reason_not_utf8", decoder(frame(0x88, b"\x03\xe8\xff"))
    yield "close_twice", decoder(close + close)
    yield "we_close_first", decoder(hello + hello + close, action=CLOSE, place=11)
    yield "we_close_inside_a_message", decoder(fragments + close, action=CLOSE, place=20)
    yield "we_ping", decoder(hello + frame(0x8A, b"are you there"), action=PING, place=11)
    yield "we_send_slowly", decoder(fragments + hello, writes=7, action=SEND, place=11)
    yield "time_passes", decoder(fragments, action=TIME | 15 << 3, place=15)
    yield "time_passes_paused", decoder(fragments, action=PAUSE | 15 << 3, place=15)
    yield "verdict_continuation_unmasked", decoder(b"\x00\x05", 0)
    yield "verdict_text_refused_unmasked", decoder(b"\x81\x05", NO_TEXT)
    yield "verdict_rsv1_unmasked", decoder(b"\xc1\x05", 0)
    yield "verdict_bad_text_behind_our_close", decoder(frame(0x81, b"a\xff") + close, action=CLOSE)
    yield "answers_before_the_close", decoder(frame(0x89, b"slowly") + frame(0x89, b"b") + close, 0, writes=1)
    yield "no_ping_behind_our_close", decoder(close, MIDDLE, action=CLOSE_AND_WAIT | 2 << 3)
    yield "close_unanswered", decoder(hello, action=CLOSE_AND_WAIT | 4 << 3, place=11)
    yield "eof_inside_a_message", decoder(fragments, action=EOF, place=15)
    yield "large_fragments", shaped(shape(0x01, 5, 12), shape(0x89, 1, 2, b"hi"), shape(0x80, 5, 13), flags=ECHO)
    yield "large_frame_limit", shaped(shape(0x02, 3, 12), shape(0x00, 3, 12), shape(0x80, 3, 13), flags=MIDDLE | ECHO)
    yield "large_client_echo", shaped(shape(0x82, 3, 13), shape(0x82, 3, 10), flags=CLIENT | ECHO, writes=200)
    yield "large_parts", shaped(shape(0x02, 3, 15), shape(0x80, 3, 13), flags=PARTS, splits=(255, 3))
    yield "large_announced", shaped(shape(0x82, 7, 12, b"x"), flags=ECHO)


def head(first, *fields):
    return "\r\n".join([first, *fields, "", ""]).encode("latin-1")


def handshakes():
    fields = [
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: http://server.example.com",
        "Sec-WebSocket-Protocol: chat, superchat",
        "Sec-WebSocket-Version: 13",
    ]
    get = "GET /chat HTTP/1.1"

    def request(*change, first=get, flags=0, tail=b""):
        lines = list(fields)
        for field in change:
            name = field.split(":")[0]
            lines = [line for line in lines if not line.startswith(name + ":")]
        lines += [field for field in change if ":" in field]
        return bytes([flags, 2, 7, 1]) + head(first, *lines) + tail

    yield "request_1_2", request()
    yield "request_and_frame", request(tail=frame(0x81, b"Hello"))
    yield "request_limits", request(flags=4)
    yield "request_any_origin", request("Origin: https://elsewhere.example", flags=2)
    yield "request_other_origin", request("Origin: https://elsewhere.example")
    yield "request_null_origin", request("Origin: null")
    yield "request_no_origin", request("Origin")
    yield "request_required", request("Sec-WebSocket-Protocol", flags=8)
    yield "request_absolute", request(first="GET http://server.example.com/chat?a=b HTTP/1.1")
    yield "request_empty_lines", bytes([0, 1, 3]) + b"\r\n\r\n" + head(get, *fields)
    yield "request_lower_case", bytes([0, 0]) + head(get, *[field.lower() for field in fields])
    yield "request_lists", request("Connection: keep-alive, , Upgrade,", "Upgrade: ,WebSocket,")
    yield "request_extensions", request('Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits="15", x; y')
    for name, field in [
        ("host", "Host"), ("upgrade", "Upgrade"), ("connection", "Connection"),
        ("key", "Sec-WebSocket-Key"), ("version", "Sec-WebSocket-Version"),
    ]:
        yield f"request_no_{name}", request(field)
    for name, field in [
        ("host_twice", "Host: a\r\nHost: a"), ("host_bad", "Host: a b"), ("host_v6", "Host: [::1]:80"),
        ("upgrade_h2c", "Upgrade: websocket, h2c"), ("key_short", "Sec-WebSocket-Key: dGhl"),
        ("key_bits", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), ("version_8", "Sec-WebSocket-Version: 8"),
        ("version_text", "Sec-WebSocket-Version: x"), ("protocol_bad", "Sec-WebSocket-Protocol: a b"),
        ("protocol_twice", "Sec-WebSocket-Protocol: chat, chat"), ("extension_bad", "Sec-WebSocket-Extensions: ;"),
        ("length", "Content-Length: 5"), ("length_0", "Content-Length: 0"), ("chunked", "Transfer-Encoding: chunked"),
        ("expect", "Expect: 100-continue"), ("folded", "X: a\r\n b"), ("space_colon", "X : a"), ("value_nul", "X: \0"),
        ("latin", "X: \xe9"), ("bare_lf", "X: a\nY: b"), ("bare_cr", "X: a\rY: b"),
    ]:
        yield f"request_{name}", request(field)
    yield "request_post", request(first="POST /chat HTTP/1.1")
    yield "request_head", request(first="HEAD /chat HTTP/1.1")
    yield "request_http_1_0", request(first="GET /chat HTTP/1.0")
    yield "request_http_2", bytes([0, 0]) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "request_tls", bytes([0, 0]) + bytes.fromhex("16030100a50100") + b"hello"

    for name, url in [
        ("plain", "ws://localhost:9001/ws?room=1"), ("v6", "wss://[::1]"), ("user", "ws://a:b@example.com/%2F?#"),
        ("query", "ws://example.com?a=b"), ("upper", "WS://EXAMPLE.com:80/"), ("idn", "ws://gr\u00fc\u00dfe.example/\u20ac"),
    ]:
        yield f"url_{name}", bytes([16, 0]) + url.encode()

    accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    ok = ["Upgrade: websocket", "Connection: Upgrade", accept]

    def response(*lines, first="HTTP/1.1 101 Switching Protocols", flags=1, tail=b""):
        return bytes([flags, 2, 5, 2]) + head(first, *lines) + tail

    yield "response_1_3", response(*ok, "Sec-WebSocket-Protocol: chat")
    yield "response_and_frame", response(*ok, tail=frame(0x81, b"Hello", masked=False))
    yield "response_other_accept", response(*ok[:2], "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    yield "response_no_accept", response(*ok[:2])
    yield "response_accept_twice", response(*ok, accept)
    yield "response_no_upgrade", response(*ok[1:])
    yield "response_protocol_unasked", response(*ok, "Sec-WebSocket-Protocol: other")
    yield "response_extension_unasked", response(*ok, "Sec-WebSocket-Extensions: permessage-deflate")
    yield "response_empty_reason", response(*ok, first="HTTP/1.1 101 ")
    yield "response_no_reason", response(*ok, first="HTTP/1.1 101")
    yield "response_302", response("Location: ws://elsewhere.example/", first="HTTP/1.1 302 Found")
    yield "response_401", response("WWW-Authenticate: Basic", "Content-Length: 2", first="HTTP/1.1 401 Unauthorized", tail=b"no")
    yield "response_100", response(first="HTTP/1.1 100 Continue", tail=head("HTTP/1.1 101 ", *ok))
    yield "response_http_1_0", response(*ok, first="HTTP/1.0 101 Switching Protocols")


# Messages compressed: RFC 7692 §7.2.3 and its wrong neighbours.
STREAM, WRITER, THEIRS, OURS = 0, 2, 4, 6
HELLO = bytes.fromhex("f248cdc9c90700")
AGAIN = bytes.fromhex("f200110000")
STORED = bytes.fromhex("000500faff48656c6c6f00")
LAST = bytes.fromhex("f348cdc9c90700")
TWO_BLOCKS = bytes.fromhex("f248050000 00ffff cac9c90700")


def pressed(plain, bits=15, level=9, strategy=zlib.Z_DEFAULT_STRATEGY):
    compressor = zlib.compressobj(level, zlib.DEFLATED, -bits, 9, strategy)
    return (compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed_streams():
    """Name, stream and what is particular about its case, for both targets."""
    def of(payload, first=0xC1, masked=True):
        return frame(first, payload, masked)

    close = frame(0x88, b"\x03\xe8bye")
    text = "grüße € 😀 ".encode() * 40
    noise = random.Random(7).randbytes(1500)
    yield "7_2_3_1_one_block", of(HELLO) + close, {}
    yield "7_2_3_1_fragments", of(HELLO[:3], 0x41) + frame(0x80, HELLO[3:]), {}
    yield "7_2_3_2_takeover", of(HELLO) + of(AGAIN), {}
    yield "7_2_3_2_no_takeover", of(HELLO) + of(AGAIN), {"takeover": False}
    yield "7_2_3_3_stored", of(STORED), {}
    yield "7_2_3_4_last_block", of(LAST + b"\0") + of(LAST), {}
    yield "7_2_3_5_two_blocks", of(TWO_BLOCKS), {}
    yield "client", of(HELLO, masked=False) + of(AGAIN, masked=False), {"client": True}
    yield "lone_zero", of(b"\0") + of(b"\0", 0xC2), {}
    yield "empty_payload", of(b""), {}
    yield "last_stored_block_without_its_tail", of(STORED[:-1] + b"\x01") + of(HELLO), {}
    yield "empty_stored_blocks", of(bytes.fromhex("000000ffff") * 9 + HELLO), {}
    yield "streams_64", of(b"\x03\x00" * 63 + HELLO), {}
    yield "streams_65", of(b"\x03\x00" * 64 + HELLO), {}
    yield "last_block_and_rubbish", of(LAST + b"\xff"), {}
    yield "ping_between", of(HELLO[:3], 0x41) + frame(0x89, b"mid") + frame(0, b"") + frame(0x80, HELLO[3:]), {}
    yield "rsv1_on_continuation", of(HELLO[:3], 0x41) + frame(0xC0, HELLO[3:]), {}
    yield "rsv1_on_ping", frame(0xC9, b"Hello"), {}
    yield "rsv1_inside_plain", frame(0x01, b"Hel") + frame(0xC0, b"lo"), {}
    yield "plain_between_compressed", of(HELLO) + frame(0x81, b"other") + of(AGAIN), {}
    yield "not_negotiated", of(HELLO), {"plain": True}
    yield "opcodes", b"".join(frame(0x80 | opcode) for opcode in (1, 2, 9, 10, 8)), {"plain": True}
    yield "opcode_3", frame(0xC3, HELLO), {}
    yield "truncated", of(pressed(text)[:-3]), {}
    yield "truncated_stored", of(STORED[:-3]), {}
    # Four bytes and six are missing: as many as a receiver adds.
    yield "truncated_stored_by_4", of(bytes.fromhex("000800f7ff") + b"four", 0xC2), {}
    yield "truncated_stored_by_6", of(bytes.fromhex("010a00f5ff") + b"four", 0xC2), {}
    yield "truncated_frame", of(pressed(text))[:20], {}
    yield "bomb", of(pressed(bytes(150_000)), 0xC2), {"limit": 4}
    yield "limit_exactly", of(pressed(b"x" * 100)), {"limit": 2}
    yield "limit_exceeded", of(pressed(b"x" * 101)), {"limit": 2}
    yield "wire_allowance", of(pressed(noise[:1000], level=0), 0xC2), {"limit": 3}
    for name, distance in [("reached", 512), ("exceeded", 513)]:
        yield f"window_9_{name}", b"".join(of(message, 0xC2) for message in far(noise[: distance + 1])), {"bits": 9}
    yield "far_inside_a_message", of(pressed(noise[:900] + noise[:900]), 0xC2), {"bits": 9}
    yield "huffman_only", of(pressed(text, strategy=zlib.Z_HUFFMAN_ONLY)), {}
    yield "fixed_code", of(pressed(text, strategy=zlib.Z_FIXED)), {}
    yield "block_type_3", of(b"\x06"), {}
    yield "text_bad", of(pressed(b"a\xff")), {}
    yield "text_broken_off", of(pressed(text[:3])), {}
    yield "text_bad_before_rubbish", of(pressed(b"a\xff")[:-1] + b"\xff\xff"), {}
    for code in (1000, 1004, 1014, 1015, 3000, 5000):
        yield f"close_{code}", of(HELLO) + frame(0x88, code.to_bytes(2, "big")), {"plain": code == 1014}
    yield "plain_close_1014", frame(0x88, (1014).to_bytes(2, "big")), {"plain": True}
    yield "plain_fragments", frame(0x01, b"Hel") + frame(0x89, b"mid") + frame(0x80, b"lo") + close, {"plain": True}
    yield "plain_long_ping", frame(0x89, b"Hello", form=2), {"plain": True}


def far(noise):
    """Two messages; the second is of the first one's beginning, and refers to it: not to its first byte, which zlib never does."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return [
        (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4] for message in (noise, noise[1:101])
    ]


def written(*messages):
    """Messages described to support/compressed.rs."""
    return b"".join(bytes(message) for message in messages)


def deflates():
    def case(rest, what=STREAM, client=False, takeover=True, bits=15, limit=7, level=3, plain=False):
        terms = 0 if takeover else 3
        windows = (bits - 8) * 0x11
        return bytes([what | client, terms, windows, limit | (level - 1) << 3, 2, 3, 1]) + rest

    for name, stream, particular in compressed_streams():
        if not particular.get("plain"):
            yield name, case(stream, **particular)
    # Shape of the message, seed, how it is compressed, where it is split.
    theirs = written([8 << 3 | 2, 0, 6, 0], [5, 0, 6, 8], [12 << 3 | 4, 9, 0, 0x38], [6, 3, 250, 4], [0, 0, 6, 0])
    ours = written([1, 13 << 3 | 2, 0], [1, 5, 0], [0, 11 << 3 | 4, 9], [1, 7, 3], [2, 5, 0], [1, 0, 0])
    for client in (False, True):
        for takeover in (False, True):
            name = f"{'client' if client else 'server'}_{'takeover' if takeover else 'alone'}"
            yield f"theirs_{name}", case(theirs, THEIRS, client, takeover)
            for bits in (8, 9, 12, 15):
                yield f"ours_{name}_{bits}", case(ours, OURS, client, takeover, bits)
    # What does not become smaller, over and over: it once made the compressor panic.
    for level in (1, 3, 9):
        noise = written(*[[1, length << 3 | 4, 9] for length in (14, 15, 14, 12, 15)])
        yield f"ours_noise_level_{level}", case(noise, OURS, bits=9, level=level)
    for broken in range(6):
        described = written([0xC2, broken << 1 | 1, 8 << 3 | 2, 0, 6, 0, 9], b"0123456789")
        yield f"written_broken_{broken}", case(described, WRITER)


def differentials():
    def case(rest, what=STREAM, client=False, takeover=True, bits=15, limit=7, plain=False):
        return bytes([what | client | (24 if plain else 0), (not takeover) | (bits - 8) << 1, limit]) + rest

    for name, stream, particular in compressed_streams():
        yield name, case(stream, **particular)
    for broken in range(6):
        described = written([0xC2, broken << 1 | 1, 8 << 3 | 2, 0, 6, 0x34, 9], b"0123456789")
        yield f"written_broken_{broken}", case(described, 4)
    shapes = shape(0x01, 3, 13) + shape(0x89, 1, 2, b"hi") + shape(0x80, 5, 13) + shape(0x88, 1, 2, b"\x03\xe8")
    yield "shaped", case(shapes, 2, plain=True)
    yield "shaped_client", case(shapes, 2, client=True, plain=True)


def main():
    seeds_of = [
        ("deflate", deflates()),
        ("differential", differentials()),
        ("frame_decoder", frames()),
        ("handshake", handshakes()),
    ]
    for target, seeds in seeds_of:
        folder = HERE / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, seed in seeds:
            (folder / name).write_bytes(seed)


if __name__ == "__main__":
    main()
