/* SPDX-License-Identifier: MIT */
/*
 * What the rig says about itself to a laptop, in WELCOME: for ssh, for people,
 * and for finding the rig without its relay. Loop thread only.
 */
#pragma once
struct device;
struct rig;
struct rig_info;

/* Fills all of *ret with what holds now; dev is the laptop that is told. */
void info_fill(const struct rig *rig, const struct device *dev,
	       struct rig_info *ret);
