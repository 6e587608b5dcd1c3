DROP TABLE bookings_bookings;
DROP TABLE bookings_rooms;
