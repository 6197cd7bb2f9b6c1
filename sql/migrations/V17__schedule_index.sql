-- Every fire entered this index anew, and `schedule_mesh` finds what is asked for: what is not done.

drop index schedule_of_mesh;
