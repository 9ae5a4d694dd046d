// without libtorch
// Archives as other writers make them: 64-bit fields, data descriptors, comments.
#include "ritz/io/zip.h"

#include <gtest/gtest.h>

#include "ritz/base/error.h"
#include "ritz/io/deflate.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using ritz::test::bytes_of;

template <class T>
std::string little(std::type_identity_t<T> value) {
  std::string text;
  for (size_t i = 0; i < sizeof value; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

/// What a writer is free to choose.
struct Style {
  bool deflate = false;
  bool zip64_entry = false;  // sizes and place in the directory's 64-bit field
  bool zip64_end = false;    // the archive ends with the 64-bit records
  size_t descriptor = 0;     // bytes behind the data that repeat checksum and sizes; 0: none
  std::string comment = {};
};

const std::string kBodies[] = {"first " + std::string(300, 'a'), std::string(70, 'b') + " second"};

std::string descriptor(const Style& style, uint32_t crc, size_t stored, size_t size) {
  std::string text = style.descriptor % 8 == 0 ? "PK\x07\x08" : "";
  text += little<uint32_t>(crc);
  if (style.descriptor > 16) return text + little<uint64_t>(stored) + little<uint64_t>(size);
  return text + little<uint32_t>(stored) + little<uint32_t>(size);
}

/// The members "m0" and "m1", which hold kBodies.
std::string archive(const Style& style) {
  std::string file, directory;
  for (size_t i = 0; i < 2; ++i) {
    const auto body = std::as_bytes(std::span(kBodies[i]));
    const std::string data = style.deflate ? deflate_raw(body) : kBodies[i];
    const std::string name = "m" + std::to_string(i);
    const uint32_t crc = crc32_of(body);
    const size_t place = file.size();
    const bool later = style.descriptor > 0;  // the local header does not know the sizes yet
    const std::string common = little<uint16_t>(later ? 8 : 0) +
                               little<uint16_t>(style.deflate ? 8 : 0) + little<uint32_t>(0);
    file += "PK\x03\x04" + little<uint16_t>(45) + common + little<uint32_t>(later ? 0 : crc) +
            little<uint32_t>(later ? 0 : data.size()) +
            little<uint32_t>(later ? 0 : kBodies[i].size()) + little<uint16_t>(2) +
            little<uint16_t>(0) + name + data;
    if (later) file += descriptor(style, crc, data.size(), kBodies[i].size());
    const auto narrow = [&](size_t value) {
      return little<uint32_t>(style.zip64_entry ? 0xffffffff : value);
    };
    // A field of another kind goes first and must be stepped over.
    const std::string extra = style.zip64_entry
                                  ? little<uint16_t>(0x5455) + little<uint16_t>(1) + "x" +
                                        little<uint16_t>(1) + little<uint16_t>(24) +
                                        little<uint64_t>(kBodies[i].size()) +
                                        little<uint64_t>(data.size()) + little<uint64_t>(place)
                                  : "";
    directory += "PK\x01\x02" + little<uint32_t>(45) + common + little<uint32_t>(crc) +
                 narrow(data.size()) + narrow(kBodies[i].size()) + little<uint16_t>(2) +
                 little<uint16_t>(extra.size()) + little<uint16_t>(0) + little<uint16_t>(0) +
                 little<uint16_t>(0) + little<uint32_t>(0) + narrow(place) + name + extra;
  }
  const size_t begin = file.size(), end = begin + directory.size();
  file += directory;
  if (style.zip64_end) {
    file += "PK\x06\x06" + little<uint64_t>(44) + little<uint32_t>(45 << 16 | 45) +
            little<uint64_t>(0) + little<uint64_t>(2) + little<uint64_t>(2) +
            little<uint64_t>(directory.size()) + little<uint64_t>(begin);
    file += "PK\x06\x07" + little<uint32_t>(0) + little<uint64_t>(end) + little<uint32_t>(1);
  }
  const bool full = style.zip64_end;
  return file + "PK\x05\x06" + little<uint32_t>(0) + little<uint16_t>(full ? 0xffff : 2) +
         little<uint16_t>(full ? 0xffff : 2) +
         little<uint32_t>(full ? 0xffffffff : directory.size()) +
         little<uint32_t>(full ? 0xffffffff : begin) + little<uint16_t>(style.comment.size()) +
         style.comment;
}

void expect_bodies(const std::string& file) {
  const ZipReader zip(bytes_of(file), "a.zip");
  ASSERT_EQ(zip.members().size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(zip.members()[i].name, "m" + std::to_string(i));
    EXPECT_EQ(zip.read(zip.members()[i]).text(), kBodies[i]);
    EXPECT_EQ(zip.read_prefix(zip.members()[i], 9).text(), kBodies[i].substr(0, 9));
  }
}

void expect_refused(const std::string& file) {
  EXPECT_THROW(
      {
        const ZipReader zip(bytes_of(file), "a.zip");
        for (const ZipMember& member : zip.members()) (void)zip.read(member);
      },
      ritz::DataError);
}

TEST(Zip, EveryWayToStateSizesIsRead) {
  for (const bool deflate : {false, true}) {
    for (const bool entry : {false, true}) {
      for (const bool end : {false, true}) {
        for (const size_t descriptor : {0, 12, 16, 20, 24}) {
          SCOPED_TRACE(testing::Message() << deflate << entry << end << descriptor);
          expect_bodies(archive({deflate, entry, end, descriptor, ""}));
        }
      }
    }
  }
}

TEST(Zip, ACommentMayFollowEvenOneThatLooksLikeTheEnd) {
  expect_bodies(archive({.comment = "made elsewhere"}));
  expect_bodies(archive({.zip64_end = true, .comment = std::string(65535, 'c')}));
  expect_bodies(archive({.comment = "PK\x05\x06 and more than twenty-two bytes"}));
}

TEST(Zip, DescriptorsMustRepeatTheDirectory) {
  for (const size_t width : {12, 16, 20, 24}) {
    const std::string good = archive({.descriptor = width});
    const size_t at = 30 + 2 + kBodies[0].size();
    // Every byte counts: signature, checksum and both sizes.
    for (size_t i = 0; i < width; ++i) {
      std::string bad = good;
      bad[at + i] = static_cast<char>(bad[at + i] ^ 1);
      SCOPED_TRACE(testing::Message() << width << ' ' << i);
      expect_refused(bad);
    }
  }
}

TEST(Zip, BytesThatNoMemberOwnsAreRefused) {
  // The flag for a descriptor is not set, or what stands there is too long for one.
  const std::string good = archive({});
  const size_t second = good.find("PK\x03\x04", 4);
  const size_t directory = good.find("PK\x01\x02");
  const size_t entry = good.find("PK\x01\x02", directory + 4);
  for (const size_t gap : {1, 12, 16, 24, 30}) {
    std::string bad = good;
    bad.replace(entry + 42, 4, little<uint32_t>(second + gap));
    const size_t end = bad.find("PK\x05\x06");
    bad.replace(end + 16, 4, little<uint32_t>(directory + gap));
    expect_refused(bad.insert(second, gap, 'x'));
    // The same before the first member.
    bad = good;
    bad.replace(directory + 42, 4, little<uint32_t>(gap));
    bad.replace(entry + 42, 4, little<uint32_t>(second + gap));
    bad.replace(end + 16, 4, little<uint32_t>(directory + gap));
    expect_refused(bad.insert(0, gap, 'x'));
  }
}

TEST(Zip, AStoredSizeThatWrapsAroundIsRefused) {
  // 2^64 - 20 bytes from a place where exactly a descriptor's 20 bytes lie before: every sum that
  // forgets to check for overflow comes out right.
  const uint64_t size = ~uint64_t{19};
  const std::string before = little<uint32_t>(0) + little<uint64_t>(size) + little<uint64_t>(size);
  const std::string common = little<uint16_t>(8) + little<uint16_t>(0) + little<uint32_t>(0);
  const std::string local = "PK\x03\x04" + little<uint16_t>(45) + common + std::string(12, '\0') +
                            little<uint16_t>(1) + little<uint16_t>(20) + "m" + before;
  const std::string directory =
      "PK\x01\x02" + little<uint32_t>(45) + common + little<uint32_t>(0) + std::string(8, '\xff') +
      little<uint16_t>(1) + little<uint16_t>(20) + std::string(14, '\0') + "m" +
      little<uint16_t>(1) + little<uint16_t>(16) + little<uint64_t>(size) + little<uint64_t>(size);
  const std::string end = "PK\x05\x06" + little<uint32_t>(0) + little<uint16_t>(1) +
                          little<uint16_t>(1) + little<uint32_t>(directory.size()) +
                          little<uint32_t>(local.size()) + little<uint16_t>(0);
  expect_refused(local + directory + end);
}

TEST(Zip, Zip64FieldsThatLieAreRefused) {
  const auto patched = [](std::string file, size_t at, const std::string& bytes) {
    return file.replace(at, bytes.size(), bytes);
  };
  const std::string good = archive({.zip64_entry = true, .zip64_end = true});
  const size_t field = good.find("m0", good.find("PK\x01\x02")) + 2 + 5;
  expect_refused(patched(good, field + 2, little<uint16_t>(16)));      // shorter than what it holds
  expect_refused(patched(good, field, little<uint16_t>(2)));           // another tag: no sizes
  expect_refused(patched(good, field + 4, little<uint64_t>(5)));       // size
  expect_refused(patched(good, field + 12, little<uint64_t>(~0ull)));  // stored size
  expect_refused(patched(good, field + 20, little<uint64_t>(~0ull)));  // place
  const size_t record = good.find("PK\x06\x06");
  const size_t locator = good.find("PK\x06\x07");
  expect_refused(patched(good, record, "XXXX"));
  expect_refused(patched(good, record + 4, little<uint64_t>(43)));      // its length
  expect_refused(patched(good, record + 32, little<uint64_t>(3)));      // entries
  expect_refused(patched(good, record + 40, little<uint64_t>(~0ull)));  // directory's size
  expect_refused(patched(good, record + 48, little<uint64_t>(1)));      // directory's place
  expect_refused(patched(good, locator + 8, little<uint64_t>(~0ull)));  // record's place
  expect_refused(patched(good, locator + 8, little<uint64_t>(locator)));
}

}  // namespace
