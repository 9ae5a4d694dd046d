// without libtorch
#include "ritz/io/png_image.h"

#include <gtest/gtest.h>

#include "ritz/base/error.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;

TEST(Png, SamplesOfSixteenBitsHaveTheirHighByteFirst) {
  // One row of two grey samples, 0x0102 and 0xff00.
  constexpr unsigned char kImage[] = {
      0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
      0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x10, 0x00, 0x00, 0x00,
      0x00, 0x81, 0xd9, 0xfc, 0x15, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
      0x9c, 0x63, 0x60, 0x64, 0xfa, 0xcf, 0x00, 0x00, 0x02, 0x0d, 0x01, 0x03, 0xa4, 0xb6,
      0xd6, 0xac, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
  const Array array = parse_png({std::as_bytes(std::span(kImage)), nullptr}, "x.png");
  EXPECT_EQ(describe(array), "uint16 [1, 2]");
  uint16_t samples[2];
  std::memcpy(samples, array.data, sizeof samples);
  EXPECT_EQ(samples[0], 0x0102);
  EXPECT_EQ(samples[1], 0xff00);
}

TEST(Png, DamagedImagesAreRefused) {
  const TemporaryFolder folder;
  ritz::AtomicFile file(folder / "x.png");
  write_png(file, counting("", {9, 7, 3}, DType::uint8));
  file.commit();
  const std::string good = read_text(folder / "x.png");
  for (size_t keep = 0; keep < good.size(); keep += 5) {
    EXPECT_THROW(parse_png(bytes_of(good.substr(0, keep)), "x.png"), ritz::DataError);
  }
  EXPECT_THROW(parse_png(bytes_of(good.substr(0, 18) + '\x7f' + good.substr(19)), "x.png"),
               ritz::DataError);
}

}  // namespace
