// without libtorch
// The child process that reads HDF5 and MAT: what it may take, and what its death becomes.
#include "ritz/io/detail/isolated.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "ritz/base/error.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;

std::string error_of(const std::function<void(ArraySink&)>& read, uint64_t file_bytes = 448) {
  try {
    (void)read_isolated(read, file_bytes, "x.mat");
  } catch (const ritz::DataError& error) {
    return error.what();
  }
  return "no error";
}

/// Has so many blocks of so many MiB at once.
void take(size_t blocks, size_t mebibytes) {
  std::vector<std::unique_ptr<char[]>> all(blocks);
  for (auto& block : all) {
    block.reset(new char[mebibytes << 20]);
    static_cast<volatile char*>(block.get())[mebibytes] = 1;  // so that it is not left out
  }
}

TEST(Isolated, ArraysAndTheirNamesComeBack) {
  const std::vector<Array> arrays = read_isolated(
      [](ArraySink& sink) {
        sink.claim(6, "");
        std::memcpy(sink.add({"a", {2, 3}, DType::uint8}, true), "abcdef", 6);
        sink.add({"b", {7}, DType::float64}, false);
      },
      100, "x.mat");
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_EQ(arrays[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(arrays[0].data, "abcdef", 6), 0);
  EXPECT_EQ(arrays[1].name, "b");
  EXPECT_EQ(arrays[1].data, nullptr);
}

TEST(Isolated, ASmallFileCannotHaveTheMemory) {
  // A file of 448 bytes has 128 MiB for the library and twice what 448 bytes can be deflated from.
  EXPECT_EQ(error_of([](ArraySink&) { take(1, 100); }), "no error");
  EXPECT_EQ(
      error_of([](ArraySink&) { take(1, 1024); }),
      "file: expected one that is read within 20 s and 129 MiB, found a need for more (x.mat)");
  // A C library sees malloc fail.
  EXPECT_EQ(error_of([](ArraySink&) {
              volatile size_t bytes = size_t{1} << 30;
              void* memory = std::malloc(bytes);
              if (memory == nullptr) throw ritz::DataError("malloc", "memory", "none");
              std::free(memory);
            }),
            "malloc: expected memory, found none");
}

TEST(Isolated, ALargeFileHasMemoryForItsNumbersTwice) {
  const auto read = [](ArraySink&) { take(2, 512); };
  EXPECT_EQ(error_of(read, uint64_t{512} << 20), "no error");
  EXPECT_NE(error_of(read, 4096), "no error");
}

TEST(Isolated, ArraysTogetherMustFitTheFile) {
  // 100 bytes may hold 1032 times as much and 64 KiB: two of these, not three.
  const auto read = [](int arrays) {
    return [arrays](ArraySink& sink) {
      for (int i = 0; i < arrays; ++i) sink.claim(80000, "x.mat:" + std::to_string(i));
    };
  };
  EXPECT_EQ(error_of(read(2), 100), "no error");
  EXPECT_EQ(error_of(read(3), 100),
            "compressed data: expected at most 1032 times their stored 100 bytes, found 240000 "
            "declared (x.mat:2)");
  EXPECT_EQ(most_expanded(100), 65536u + 101 * 1032 - 1);
  for (const uint64_t stored : {uint64_t{0}, uint64_t{100}, uint64_t{1} << 20, uint64_t{1} << 40}) {
    EXPECT_NO_THROW(check_expansion(stored, most_expanded(stored), "x"));
    EXPECT_THROW(check_expansion(stored, most_expanded(stored) + 1, "x"), ritz::DataError);
  }
}

TEST(Isolated, TheDeathOfTheReaderIsAnError) {
  EXPECT_EQ(error_of([](ArraySink&) { ::_exit(3); }),
            "file: expected one that its library can read within 20 s and 129 MiB, found a reader "
            "that died of it (x.mat)");
}

TEST(Isolated, ErrorsKeepTheirTypes) {
  EXPECT_THROW(read_isolated([](ArraySink&) { throw ritz::Unsupported("no"); }, 1, "x"),
               ritz::Unsupported);
  EXPECT_EQ(error_of([](ArraySink&) { throw ritz::DataError("a", "b", "c", "d"); }),
            "a: expected b, found c (d)");
}

}  // namespace
