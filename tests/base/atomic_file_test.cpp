// without libtorch
#include "ritz/base/atomic_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "ritz/base/error.h"
#include "ritz/base/mapped_file.h"
#include "tests/io/temporary_folder.h"

namespace {

using ritz::AtomicFile;
using ritz::test::read_text;
using ritz::test::TemporaryFolder;
using ritz::test::write_text;

size_t files_in(const std::string& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(AtomicFile, AppearsWholeOnCommitAndNotBefore) {
  const TemporaryFolder folder;
  const std::string large(300000, 'x');
  AtomicFile file(folder / "a");
  file.write("head");
  file.write(large);
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  file.commit();
  EXPECT_EQ(read_text(folder / "a"), "head" + large);
  EXPECT_EQ(file.size(), 300004u);
  EXPECT_EQ(files_in(folder / ""), 1u);
}

TEST(AtomicFile, WithoutCommitNothingIsLeft) {
  const TemporaryFolder folder;
  { AtomicFile(folder / "a").write("half"); }
  EXPECT_EQ(files_in(folder / ""), 0u);
}

TEST(AtomicFile, RefusesAnExistingTargetAtTheStart) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  EXPECT_THROW(AtomicFile(folder / "a"), ritz::UsageError);
  AtomicFile file(folder / "a", true);
  file.write("new");
  file.commit();
  EXPECT_EQ(read_text(folder / "a"), "new");
}

TEST(AtomicFile, RefusesATargetThatCameMeanwhile) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a");
  write_text(folder / "a", "other");
  EXPECT_THROW(file.commit(), ritz::UsageError);
  EXPECT_EQ(read_text(folder / "a"), "other");
}

TEST(AtomicFile, KeepsTheModeAndTheLinkOfWhatItReplaces) {
  const TemporaryFolder folder;
  write_text(folder / "real", "old");
  ::chmod((folder / "real").c_str(), 0640);
  std::filesystem::create_symlink("real", folder / "link");
  AtomicFile file(folder / "link", true);
  file.write("new");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "real"), "new");
  struct stat status {};
  ::stat((folder / "real").c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST(AtomicFile, FoldersAndMissingFoldersAreDataErrors) {
  const TemporaryFolder folder;
  EXPECT_THROW(AtomicFile(folder / "absent/a"), ritz::DataError);
  EXPECT_THROW(AtomicFile(folder / "", true), ritz::DataError);
  write_text(folder / "a", "");
  EXPECT_THROW(AtomicFile(folder / "a/b"), ritz::DataError);
}

TEST(AtomicFile, AReadOnlyFolderIsADataError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root writes everywhere";
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "locked");
  ::chmod((folder / "locked").c_str(), 0500);
  EXPECT_THROW(ritz::check_target(folder / "locked/a", false), ritz::DataError);
}

TEST(AtomicFile, AFullDeviceFailsAndStaysADevice) {
  AtomicFile file("/dev/full");
  file.write("x");
  EXPECT_THROW(file.commit(), ritz::SystemFailure);
  struct stat status {};
  ::stat("/dev/full", &status);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST(AtomicFile, APipeIsWrittenDirectly) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] { got = read_text(folder / "pipe"); });
  {
    AtomicFile file(folder / "pipe");
    EXPECT_TRUE(file.temporary().empty());
    file.write("through");
    file.commit();
  }
  reader.join();
  EXPECT_EQ(got, "through");
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
}

TEST(AtomicFile, AWriterKilledHalfWayLeavesTheOldFileIntact) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(folder / "a", true);
    file.write(std::string(1 << 20, 'n'));
    (void)!::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(read_text(folder / "a"), "old");
}

TEST(AtomicFile, OfTwoWritersOneWinsWhole) {
  for (const bool force : {false, true}) {
    const TemporaryFolder folder;
    pid_t children[2];
    for (int c = 0; c < 2; ++c) {
      children[c] = ::fork();
      if (children[c] != 0) continue;
      int status = 0;
      try {
        AtomicFile file(folder / "a", force);
        for (int i = 0; i < 100; ++i) file.write(std::string(10000, static_cast<char>('a' + c)));
        file.commit();
      } catch (const ritz::UsageError&) {
        status = 2;
      }
      ::_exit(status);
    }
    int winners = 0;
    for (const pid_t child : children) {
      int status = 0;
      ::waitpid(child, &status, 0);
      winners += WEXITSTATUS(status) == 0 ? 1 : 0;
    }
    EXPECT_EQ(winners, force ? 2 : 1);
    const std::string text = read_text(folder / "a");
    EXPECT_EQ(text, std::string(1000000, text.at(0)));
    EXPECT_EQ(files_in(folder / ""), 1u);
  }
}

TEST(MappedFile, ReadsSmallLargeAndPipedFiles) {
  const TemporaryFolder folder;
  for (const size_t size : {size_t{0}, size_t{5}, size_t{3} << 20}) {
    write_text(folder / "a", std::string(size, 'q'));
    const auto file = ritz::MappedFile::open(folder / "a");
    ASSERT_EQ(file->size(), size);
    if (size > 0) {
      EXPECT_EQ(static_cast<char>(file->data()[size - 1]), 'q');
    }
  }
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { write_text(folder / "pipe", std::string(200000, 'p')); });
  EXPECT_EQ(ritz::MappedFile::open(folder / "pipe")->size(), 200000u);
  writer.join();
  EXPECT_THROW(ritz::MappedFile::open(folder / ""), ritz::DataError);
  EXPECT_THROW(ritz::MappedFile::open(folder / "absent"), ritz::DataError);
}

}  // namespace
