#pragma once
// Runs the ritz program as a user's shell would.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/io/temporary_folder.h"

namespace ritz::tests {

struct Outcome {
  int code = -1;  // exit code; 128 + N where signal N ended it
  std::string out, err;
};

using test::read_text;

/// A test that runs the program in an empty folder of its own.
class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* program = std::getenv("RITZ_PROGRAM");
    program_ = program != nullptr ? program : std::string(RITZ_BUILD_DIR) + "/apps/ritz/ritz";
    std::filesystem::create_directory(work());
  }

  /// `line` is what follows `ritz` in a shell; it may hold redirections and pipes.
  Outcome ritz(const std::string& line) { return shell("exec '" + program_ + "' " + line); }
  /// A shell's line; $RITZ is the program.
  Outcome shell(const std::string& line, const std::string& interpreter = "sh") {
    const std::string script = folder_ / "script";
    std::ofstream(script) << "cd '" << work().string() << "'\nRITZ='" << program_ << "'\n"
                          << line << "\n";
    const int status = std::system((interpreter + " '" + script + "' >'" + (folder_ / "out") +
                                    "' 2>'" + (folder_ / "err") + "'")
                                       .c_str());
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return {code, read_text(folder_ / "out"), read_text(folder_ / "err")};
  }
  /// Runs it and expects an error: this exit code, one line of that form, nothing on standard
  /// output and nothing new in the folder.
  void expect_error(const std::string& line, int code, const std::string& part) {
    const auto before = names();
    const Outcome outcome = ritz(line);
    EXPECT_EQ(outcome.code, code) << line << "\n" << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << line << "\n"
                                                                           << outcome.err;
    EXPECT_EQ(outcome.err.compare(0, 4, "ritz"), 0) << outcome.err;
    EXPECT_NE(outcome.err.find("expected "), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << line << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << line;
    EXPECT_EQ(names(), before) << line;
  }

  std::filesystem::path work() const { return folder_ / "work"; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(work()))
      all.push_back(entry.path());
    std::sort(all.begin(), all.end());
    return all;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(work() / name, std::ios::binary) << text;
  }
  nlohmann::json json(const std::string& name) const {
    return nlohmann::json::parse(read_text(work() / name));
  }

 private:
  std::string program_;
  const test::TemporaryFolder folder_;
};

}  // namespace ritz::tests
