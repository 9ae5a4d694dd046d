// without libtorch
// Files that lie: each must be a DataError, whatever it claims.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ritz/base/error.h"
#include "ritz/io/deflate.h"
#include "ritz/io/idx.h"
#include "ritz/io/npy.h"
#include "ritz/io/npz.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/summary.h"
#include "ritz/io/zip.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;

std::string npy(const std::string& descr, const std::string& shape, const std::string& data,
                const std::string& order = "False") {
  const std::string head =
      "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(head.size()) + '\0' + head + data;
}

Array parse(const std::string& text) {
  return parse_npy(bytes_of(text), "", "x.npy");
}

TEST(HostileNpy, ShapesAreCheckedAgainstTheFile) {
  EXPECT_EQ(parse(npy("'<i2'", "(2,)", "abcd")).shape, (std::vector<int64_t>{2}));
  for (const char* shape :
       {"(3,)", "(1,)", "(-2,)", "(-1, -2)", "(4611686018427387904, 4)", "(99999999999999999999,)",
        "(4611686018427387904, 4611686018427387904, 0)", "(2", "2", "(2,) junk", "('a',)"}) {
    EXPECT_THROW(parse(npy("'<i2'", shape, "abcd")), ritz::DataError) << shape;
  }
}

TEST(HostileNpy, OnlyNumbersAreTaken) {
  for (const char* descr :
       {"'|O'", "'<U4'", "'<M8[s]'", "'<f16'", "'<i3'", "'|V4'", "''", "[('a', '<f4')]", "'i2'"}) {
    EXPECT_THROW(parse(npy(descr, "(1,)", "abcd")), ritz::DataError) << descr;
  }
  EXPECT_THROW(parse(npy("'|b1'", "(1,)", "\x02")), ritz::DataError);
}

TEST(HostileNpy, HeadersAreBounded) {
  std::string file = npy("'<i2'", "(2,)", "abcd");
  file[9] = '\x7f';
  EXPECT_THROW(parse(file), ritz::DataError);
  EXPECT_THROW(parse(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13)), ritz::DataError);
  EXPECT_THROW(parse(std::string("\x93NUMPY\x09\x00", 8) + std::string(100, ' ')), ritz::DataError);
  EXPECT_THROW(parse("\x93NUMPY"), ritz::DataError);
}

TEST(HostileNpy, FortranOrderAndBigEndianAreTurned) {
  // 2 x 3, first index fastest: columns (1, 4), (2, 5), (3, 6).
  const std::string data("\0\1\0\4\0\2\0\5\0\3\0\6", 12);
  const Array array = parse(npy("'>i2'", "(2, 3)", data, "True"));
  const auto* x = reinterpret_cast<const int16_t*>(array.data);
  EXPECT_EQ(std::vector<int16_t>(x, x + 6), (std::vector<int16_t>{1, 2, 3, 4, 5, 6}));
}

/// An archive of our own writing, for bending.
std::string archive(const std::vector<std::string>& names, bool deflate, size_t size = 40) {
  const TemporaryFolder folder;
  ritz::AtomicFile file(folder / "a.zip");
  ZipWriter zip(file);
  const std::string body(size, 'b');
  for (const std::string& name : names)
    zip.add(name, "head", std::as_bytes(std::span(body)), deflate);
  zip.finish();
  file.commit();
  return read_text(folder / "a.zip");
}

std::string patched(std::string text, size_t at, const std::string& bytes) {
  return text.replace(at, bytes.size(), bytes);
}

TEST(HostileZip, BentArchivesAreRefused) {
  for (const bool deflate : {false, true}) {
    const std::string good = archive({"a.npy", "b.npy"}, deflate);
    const ZipReader zip(bytes_of(good), "a.zip");
    EXPECT_EQ(zip.read(zip.members()[1]).size(), 44u);
    const auto refused = [](const std::string& text) {
      EXPECT_THROW(
          {
            const ZipReader reader(bytes_of(text), "a.zip");
            for (const ZipMember& member : reader.members()) (void)reader.read(member);
          },
          ritz::DataError);
    };
    const size_t first = good.find("PK\x01\x02");
    const size_t second = good.find("PK\x01\x02", first + 1);
    refused(patched(good, zip.members()[0].data + 1, "X"));     // checksum or stream
    refused(patched(good, first + 16, "XXXX"));                 // checksum in the directory
    refused(patched(good, first + 24, "\x10"));                 // size
    refused(patched(good, first + 20, "\x10"));                 // stored size
    refused(patched(good, first + 8, "\x01"));                  // encrypted
    refused(patched(good, first + 10, "\x0c"));                 // another method
    refused(patched(good, second + 42, std::string(4, '\0')));  // both at one place
    refused("gap" + good);
    refused(good.substr(0, first) + "gap" + good.substr(first));
    refused(good + "behind");
    refused(good.substr(0, good.size() - 1));
    for (size_t keep = 0; keep < good.size(); keep += 7) refused(good.substr(0, keep));
  }
}

TEST(HostileZip, NamesTwiceOrOutsideTheFolderAreRefused) {
  for (const char* name : {"../a", "/a", "a/../../b", "..", "a\\b", "C:a", ""}) {
    EXPECT_THROW(ZipReader(bytes_of(archive({name}, false)), "a.zip"), ritz::DataError) << name;
  }
  EXPECT_THROW(ZipReader(bytes_of(archive({"a", "a"}, false)), "a.zip"), ritz::DataError);
  EXPECT_NO_THROW(ZipReader(bytes_of(archive({"a/b..c", "..."}, false)), "a.zip"));
}

TEST(HostileZip, BombsAreRefusedBeforeTheyAreInflated) {
  EXPECT_NO_THROW(check_expansion(1 << 20, 1 << 30, "x"));
  EXPECT_THROW(check_expansion(1 << 20, uint64_t{1} << 31, "x"), ritz::DataError);
  EXPECT_THROW(check_expansion(100, 1 << 20, "x"), ritz::DataError);
  // 4 MiB of zeros that claim to be 100 bytes, and that claim to be 5 MiB.
  const std::string zeros(4 << 20, '\0');
  const std::string packed = deflate_raw(std::as_bytes(std::span(zeros)));
  EXPECT_EQ(inflate_raw(bytes_of(packed).span, zeros.size(), "x").size(), zeros.size());
  EXPECT_THROW(inflate_raw(bytes_of(packed).span, 100, "x"), ritz::DataError);
  EXPECT_THROW(inflate_raw(bytes_of(packed).span, 4300000, "x"), ritz::DataError);
}

SafetensorsFile safetensors(const std::string& header, size_t data) {
  const uint64_t size = header.size();
  std::string text(reinterpret_cast<const char*>(&size), 8);
  const std::string whole = text + header + std::string(data, 'd');
  return parse_safetensors(bytes_of(whole), "x.safetensors");
}

TEST(HostileSafetensors, HeadersThatLieAreRefused) {
  EXPECT_EQ(
      safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8).arrays.size(),
      1u);
  for (
      const char* header :
      {"",
       "[]",
       "{",
       "null",
       "{\"a\":1}",
       "{\"a\":[[[[[[[]]]]]]]}",
       R"({"a":{}})",
       R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})",
       R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
       R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})",
       R"({"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       R"({"__metadata__":{"a":"x","a":"y"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x)"}) {
    EXPECT_THROW(safetensors(header, 8), ritz::DataError) << header;
  }
  EXPECT_THROW(parse_safetensors(bytes_of(std::string(8, '\xff')), "x"), ritz::DataError);
  EXPECT_THROW(safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9),
               ritz::DataError);
}

TEST(HostileIdx, HeadersAreCheckedAgainstTheFile) {
  const std::string head("\0\0\x08\x02\0\0\0\2\0\0\0\3", 12);
  EXPECT_EQ(parse_idx(bytes_of(head + "abcdef"), "x").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_THROW(parse_idx(bytes_of(head + "abcde"), "x"), ritz::DataError);
  EXPECT_THROW(parse_idx(bytes_of(head + "abcdefg"), "x"), ritz::DataError);
  EXPECT_THROW(parse_idx(bytes_of(std::string("\0\1\x08\1\0\0\0\0", 8)), "x"), ritz::DataError);
  EXPECT_THROW(parse_idx(bytes_of(std::string("\0\0\x07\1\0\0\0\0", 8)), "x"), ritz::DataError);
  EXPECT_THROW(parse_idx(bytes_of(std::string("\0\0\x08\x03", 4) + std::string(12, '\xff')), "x"),
               ritz::DataError);
  const std::string longer = head + std::string(1000, 'x');
  EXPECT_THROW(parse_idx(bytes_of(gzip(std::as_bytes(std::span(longer)))), "x"), ritz::DataError);
}

TEST(HostileMat, AVariableThatCannotBeReadIsNotLeftOut) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.mat";
  write_arrays(path, {of_doubles("a", {1, 2}, {1, 2}), of_doubles("b", {1, 2}, {3, 4})});
  std::string file = read_text(path);
  // A variable is its tag (8 bytes), its flags (16), then the tag of its shape: type and length,
  // which becomes that of a billion dimensions.
  uint32_t first = 0;
  std::memcpy(&first, file.data() + 128 + 4, sizeof first);
  file.replace(128 + 8 + first + 8 + 16 + 4, 4, "\xf8\xff\xff\xff");
  write_text(path, file);
  EXPECT_THROW(read_arrays(path), ritz::DataError);
  EXPECT_THROW(list_arrays(path), ritz::DataError);
}

TEST(Summary, LeavesNanOutAndKeepsIntegersExact) {
  std::vector<double> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i));
  values[500] = std::nan("");
  values[999] = -7;
  values[3] = 9;
  ArraySummary s = summarise(of_doubles("", {1000}, values));
  EXPECT_EQ(std::get<double>(*s.min), -7);
  EXPECT_EQ(std::get<double>(*s.max), 9);
  EXPECT_EQ(s.nan, 1);
  s = summarise(of_doubles("", {2}, {std::nan(""), std::nan("")}));
  EXPECT_FALSE(s.min.has_value());
  EXPECT_EQ(s.nan, 2);
  EXPECT_FALSE(summarise(of_doubles("", {0}, {})).max.has_value());
  Array big = make_array("", {3}, DType::uint64);
  const uint64_t largest = std::numeric_limits<uint64_t>::max();
  std::memcpy(mutable_data(big) + 8, &largest, 8);
  EXPECT_EQ(std::get<uint64_t>(*summarise(big).max), largest);
  // 20 MiB on three threads: three chunks, and a tail that fills no row of lanes.
  Array wide = make_array("", {(5 << 20) + 17}, DType::float32);
  const float low = -3;
  std::memcpy(mutable_data(wide) + wide.bytes() - 4, &low, 4);
  EXPECT_EQ(std::get<double>(*summarise(wide, 3).min), -3);
  EXPECT_EQ(std::get<double>(*summarise(wide, 3).max), 0);
}

TEST(Summary, HalfFloatsAreWidened) {
  Array half = make_array("", {3}, DType::float16);
  const uint16_t bits[] = {0x3c00, 0xc000, 0x0001};  // 1, -2, 2^-24
  std::memcpy(mutable_data(half), bits, 6);
  EXPECT_EQ(std::get<double>(*summarise(half).min), -2);
  EXPECT_EQ(std::get<double>(*summarise(half).max), 1);
}

TEST(SparseNpz, IndicesOutsideTheMatrixAreRefused) {
  const TemporaryFolder folder;
  const auto write = [&](int32_t column, int32_t end) {
    Array format = make_array("format", {3}, DType::uint8);
    std::memcpy(mutable_data(format), "csr", 3);
    Array shape = make_array("shape", {2}, DType::int32);
    const int32_t sizes[] = {1, 4};
    std::memcpy(mutable_data(shape), sizes, 8);
    Array indices = make_array("indices", {1}, DType::int32);
    std::memcpy(mutable_data(indices), &column, 4);
    Array indptr = make_array("indptr", {2}, DType::int32);
    std::memcpy(mutable_data(indptr) + 4, &end, 4);
    write_arrays(folder / "a.npz", {of_doubles("data", {1}, {2}), indices, indptr, shape, format},
                 {.force = true});
    return read_csr_npz(folder / "a.npz");
  };
  EXPECT_EQ(write(3, 1).cols, 4);
  EXPECT_THROW(write(4, 1), ritz::DataError);
  EXPECT_THROW(write(-1, 1), ritz::DataError);
  EXPECT_THROW(write(0, 2), ritz::DataError);
}

}  // namespace
