include(${CMAKE_CURRENT_LIST_DIR}/driver.cmake)
coldshelf_fuzz(fuzz_segment
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/segment_fuzz.cc DEPS coldshelf_format RUNS 12000
  CORPUS ${CMAKE_CURRENT_LIST_DIR}/../golden/v1)
coldshelf_fuzz(fuzz_manifest
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/manifest_fuzz.cc DEPS coldshelf_format RUNS 60000
  CORPUS ${CMAKE_CURRENT_LIST_DIR}/../golden/v1)
coldshelf_fuzz(fuzz_image_frame
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/image_frame_fuzz.cc DEPS coldshelf_format RUNS 60000)
